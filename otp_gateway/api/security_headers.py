"""Content-Security-Policy and related headers: which files our pages load, and which sites see their URLs."""

from __future__ import annotations

from flask import Response

# Pages load files only from our own origin. A page itself has no script and no style.
DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'none'",  # scripts handle every submit; without them no number may get into a URL
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def protect(
    response: Response, changes: dict[str, str | None] | None = None, referrer: str = "no-referrer"
) -> Response:
    """Add the headers. ``changes``: other values of directives for this page; None removes a directive."""
    directives = DIRECTIVES | (changes or {})
    policy = "; ".join(f"{name} {value}" for name, value in directives.items() if value is not None)
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = referrer
    return response
