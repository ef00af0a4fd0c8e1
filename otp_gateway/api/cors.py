"""Pages of other origins, if the operator lists them (Fetch standard, with Flask-Cors)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Flask, Response
from flask_cors import CORS

from otp_gateway.api.routes import PREFIX

# The headers of a reply that a page may read, in addition to the safelisted headers.
EXPOSED = ["RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-ID"]
ALLOWED = ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"]
PREFLIGHT_SECONDS = 600
PATHS = (rf"{PREFIX}/.*", r"/\.well-known/jwks\.json")


def install(app: Flask, origins: Sequence[str]) -> None:
    """Let the pages of these origins call the API, with tokens in bodies and never with cookies."""
    if not origins:
        return
    CORS(
        app,
        resources={path: {} for path in PATHS},
        # These are compiled patterns. Flask-Cors treats some texts as regular expressions without anchors.
        origins=[re.compile(rf"{re.escape(origin)}\Z", re.IGNORECASE) for origin in origins],
        always_send=False,
        methods=["GET", "POST"],
        allow_headers=ALLOWED,
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_SECONDS,
        supports_credentials=False,
    )

    @app.after_request
    def vary(response: Response) -> Response:
        # Flask-Cors omits this header if there is a single origin. Then a cache could give a page the reply
        # that was made for another page.
        response.vary.add("Origin")
        return response


def covers(path: str) -> bool:
    """Whether pages of other origins may call this path."""
    return any(re.fullmatch(pattern, path) for pattern in PATHS)
