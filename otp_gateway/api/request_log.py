"""One log line for each request, with an id that the client can choose."""

from __future__ import annotations

import re
import secrets

from flask import Flask, Response, request

from otp_gateway.api import context
from otp_gateway.log import LineLogger

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# An Iranian mobile number by itself. A part of a longer hexadecimal number can look like one by chance.
PHONE = re.compile(r"(?<![0-9A-Fa-f])(?:0098|98|0)?9[0-9]{9}(?![0-9A-Fa-f])")
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SHORTEST_PHONE = 9
# A letter replaces each hexadecimal digit. So a search for leaked codes in a log finds no ids.
LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopabcdef")
logger = LineLogger("otp_gateway.request")


def install(app: Flask) -> None:
    """Give every request an id and a line in the log."""
    app.before_request(_open)
    app.after_request(_close)


def route() -> str | None:
    """The rule of the route. The path is not logged, because the client chooses it."""
    return request.url_rule.rule if request.url_rule else None


def method() -> str | None:
    """The request's method, if HTTP has it. Other methods are not logged, because the client chooses them."""
    return request.method if request.method in METHODS else None


def id_of(given: str) -> str:
    """The request's id: the client's own ``given`` one if it is acceptable, otherwise a new one."""
    return given if _sane(given) else _new_id()


def _open() -> None:
    context.begin(id_of(request.headers.get("X-Request-ID", "")))


def _new_id() -> str:
    """A random id of 24 letters (96 bits)."""
    return secrets.token_hex(12).translate(LETTERS)


def _sane(given: str) -> bool:
    """Whether the id is printable, short, and definitely not a phone number. The id is written to the log."""
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
