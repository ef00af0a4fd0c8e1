"""What our pages may load and to whom they show an address: Content-Security-Policy and related headers."""

from __future__ import annotations

from flask import Response

# Our own origin only, and no script or style in a page itself.
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
    """Add the headers; ``changes``: directives that a page needs otherwise, None for one that it lacks."""
    directives = DIRECTIVES | (changes or {})
    policy = "; ".join(f"{name} {value}" for name, value in directives.items() if value is not None)
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = referrer
    return response
