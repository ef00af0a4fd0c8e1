"""How the panel's pages are made: templates, headers, times in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from otp_gateway.api import security_headers

PREFIX = "/admin"
TOKENS = "/accounts/otptoken/"
# The panel needs no script, and its forms post to itself.
POLICY_CHANGES: dict[str, str | None] = {"script-src": None, "connect-src": None, "form-action": "'self'"}
# A path without a double slash, a backslash, or a dot segment.
PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9_.-]+)+/?")


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the panel."""
    response = make_response(render_template(f"admin/{template}", **values), status)
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def refused_login(wait: int, following: str) -> Response:
    """The login page again; ``wait``: seconds until a right password would do, 0 for now."""
    status = 429 if wait else 403
    response = page("login.html", status=status, minutes=-(-wait // 60), failed=True, next=following)
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def busy_login(following: str) -> Response:
    """The login page again, because other passwords are being compared."""
    response = page("login.html", status=429, busy=True, next=following)
    response.headers["Retry-After"] = "1"
    return response


def mishap(error: HTTPException) -> Response:
    """A form that has expired, a phone that cannot be: in words, with a way back."""
    return page("mishap.html", status=error.code or 500, words=error.description)


def protect(response: Response) -> Response:
    """Add the security headers."""
    security_headers.protect(response, POLICY_CHANGES, referrer="same-origin")
    response.headers["Cache-Control"] = "no-cache" if request.endpoint == "admin.static" else "no-store"
    return response


def inside(path: str | None) -> str:
    """The path if it is one of the panel's, else the list."""
    if path and path.startswith(f"{PREFIX}/") and PLAIN.fullmatch(path):
        return path
    return f"{PREFIX}{TOKENS}"


def clock(seconds: float) -> str:
    """A moment, from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """A time left, as people say it: 4 min 05 s."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
