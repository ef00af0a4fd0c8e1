"""Makes the pages of the panel: templates, headers, texts."""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Any
from urllib.parse import urlencode

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from otp_gateway.admin.auth import csrf_token, operator_name
from otp_gateway.admin.language import language, other_language, words
from otp_gateway.admin.parts import LIVE_SECONDS, is_live
from otp_gateway.api import security_headers
from otp_gateway.support.reasons import outcome_words, reason_words
from otp_gateway.support.times import Times

PREFIX = "/admin"
TOKENS = "/accounts/otptoken/"
# The panel needs no script, and its forms are sent only to itself.
POLICY_CHANGES: dict[str, str | None] = {"script-src": None, "connect-src": None, "form-action": "'self'"}
# A path without a double slash, a backslash, or a dot segment.
PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9_.+-]+)+/?")


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the panel."""
    response = make_response(render_template(f"admin/{template}", **values), status)
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def names(zone: tzinfo) -> dict[str, Any]:
    """The names that every template can use."""
    text = words()
    return {
        "t": text,
        "times": Times(zone, text.language),
        "lang": text.language,
        "other_lang": other_language(),
        "here": here,
        "csrf": csrf_token,
        "operator": operator_name(),
        "live": is_live(),
        "live_seconds": LIVE_SECONDS,
        "reason": lambda reason: reason_words(text, reason),
        "outcome": lambda outcome: outcome_words(text, outcome),
    }


def here(**changes: str | None) -> str:
    """The URL of this page with other parameters; None removes one."""
    known = request.args.to_dict() if request.method == "GET" else {}
    query = {name: value for name, value in (known | changes).items() if value}
    return f"{request.path}?{urlencode(query)}" if query else request.path


def refused_login(wait: int, following: str, *, named: bool) -> Response:
    """The login page again. ``wait``: seconds until a password is accepted again; 0 means now."""
    status = 429 if wait else 403
    response = page(
        "login.html", status=status, minutes=-(-wait // 60), failed=True, next=following, named=named
    )
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def busy_login(following: str, *, named: bool) -> Response:
    """The login page again, because other passwords are being compared."""
    response = page("login.html", status=429, busy=True, next=following, named=named)
    response.headers["Retry-After"] = "1"
    return response


def mishap(error: HTTPException) -> Response:
    """A page that explains an error, such as an expired form or an invalid number, with a link back."""
    text = words().known(f"mishap.{error.code}", error.description or "") if _is_default(error) else None
    return page("mishap.html", status=error.code or 500, words=text or error.description)


def _is_default(error: HTTPException) -> bool:
    return error.description == type(error).description


def protect(response: Response) -> Response:
    """Add the security headers."""
    security_headers.protect(response, POLICY_CHANGES, referrer="same-origin")
    response.headers["Cache-Control"] = "no-cache" if request.endpoint == "admin.static" else "no-store"
    return response


def inside(path: str | None) -> str:
    """The path if it is a path of the panel, otherwise the path of the list."""
    if path and path.startswith(f"{PREFIX}/") and PLAIN.fullmatch(path):
        return path
    return f"{PREFIX}{TOKENS}"
