"""One log line a request, and the id that ties it to the client's own."""

from __future__ import annotations

import re
import secrets

from flask import Flask, Response, request

from otp_gateway.api import context
from otp_gateway.log import LineLogger

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# An Iranian mobile as such; not as a part of a longer hexadecimal number, which it can be by chance.
PHONE = re.compile(r"(?<![0-9A-Fa-f])(?:0098|98|0)?9[0-9]{9}(?![0-9A-Fa-f])")
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SHORTEST_PHONE = 9
# A letter for each hexadecimal digit: a log without runs of digits is easily searched for leaked codes.
LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopabcdef")
logger = LineLogger("otp_gateway.request")


def install(app: Flask) -> None:
    """Give every request an id and a line in the log."""
    app.before_request(_open)
    app.after_request(_close)


def route() -> str | None:
    """The rule that the request has met, not its path: a path is whatever a client writes."""
    return request.url_rule.rule if request.url_rule else None


def method() -> str | None:
    """The request's method, if it is one of HTTP's: that too is whatever a client writes."""
    return request.method if request.method in METHODS else None


def id_of(given: str) -> str:
    """The request's id: the client's own ``given`` one if it is acceptable, otherwise a new one."""
    return given if _sane(given) else _new_id()


def _open() -> None:
    context.begin(id_of(request.headers.get("X-Request-ID", "")))


def _new_id() -> str:
    """24 letters, 96 bits, from one draw."""
    return secrets.token_hex(12).translate(LETTERS)


def _sane(given: str) -> bool:
    """Printable, short, and surely no phone number: the id goes into the log."""
    if not SANE_ID.fullmatch(given) or PHONE.search(given):
        return False
    return any(c.isalpha() for c in given) or sum(c.isdigit() for c in given) < SHORTEST_PHONE


def _close(response: Response) -> Response:
    current = context.current()
    response.headers["X-Request-ID"] = current.request_id
    logger.info(
        "request",
        request_id=current.request_id,
        method=method(),
        route=route(),
        status=response.status_code,
        duration_ms=round(current.elapsed * 1000, 1),
        **current.notes,
    )
    return response
