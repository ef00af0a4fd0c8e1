"""What our pages may load, and where from: our own origin alone."""

from __future__ import annotations

from flask import Response

# No script or style stands in a page itself.
DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'none'",  # scripts take every submit; without them no number may end up in an address
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def protect(response: Response, changes: dict[str, str] | None = None) -> Response:
    """Send the policy along; ``changes``: the directives that a page needs to be otherwise."""
    directives = DIRECTIVES | (changes or {})
    policy = "; ".join(f"{name} {value}" for name, value in directives.items())
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
