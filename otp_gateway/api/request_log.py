"""One log line a request, and the id that ties it to the client's own."""

from __future__ import annotations

import re
import secrets
import time
from string import ascii_lowercase
from typing import Any

from flask import Flask, Response, g, request

from otp_gateway.log import get_logger

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# An Iranian mobile as such; not as a part of a longer hexadecimal number, which it can be by chance.
PHONE = re.compile(r"(?<![0-9A-Fa-f])(?:0098|98|0)?9[0-9]{9}(?![0-9A-Fa-f])")
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SHORTEST_PHONE = 9
logger = get_logger("otp_gateway.request")


def install(app: Flask) -> None:
    """Give every request an id and a line in the log."""
    app.before_request(_open)
    app.after_request(_close)


def note(**values: Any) -> None:
    """Add to the request's line. Nothing secret, no full phone number."""
    notes: dict[str, Any] = g.setdefault("notes", {})
    notes.update((name, value) for name, value in values.items() if value is not None)


def route() -> str | None:
    """The rule that the request has met, not its path: a path is whatever a client writes."""
    return request.url_rule.rule if request.url_rule else None


def method() -> str | None:
    """The request's method, if it is one of HTTP's: that too is whatever a client writes."""
    return request.method if request.method in METHODS else None


def elapsed() -> float:
    """Seconds since the request came."""
    return time.monotonic() - float(g.started)


def _open() -> None:
    g.started = time.monotonic()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _sane(given) else _new_id()


def _new_id() -> str:
    """24 letters, 112 bits. No digits: a log without digit runs is easily searched for leaked codes."""
    return "".join(secrets.choice(ascii_lowercase) for _ in range(24))


def _sane(given: str) -> bool:
    """Printable, short, and surely no phone number: the id goes into the log."""
    if not SANE_ID.fullmatch(given) or PHONE.search(given):
        return False
    return any(c.isalpha() for c in given) or sum(c.isdigit() for c in given) < SHORTEST_PHONE


def _close(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    logger.info(
        "request",
        request_id=g.request_id,
        method=method(),
        route=route(),
        status=response.status_code,
        duration_ms=round(elapsed() * 1000, 1),
        **g.get("notes", {}),
    )
    return response
