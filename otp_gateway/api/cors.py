"""Pages of other origins, where the operator lists them (Fetch standard, by Flask-Cors)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Flask, Response
from flask_cors import CORS

from otp_gateway.api.routes import PREFIX

# What a page may read of a reply besides the safelisted headers.
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
        # Patterns of our own: given texts, Flask-Cors takes some for regular expressions, unanchored.
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
        # Flask-Cors leaves it out for a single origin: a cache could hand one page the reply to another.
        response.vary.add("Origin")
        return response


def covers(path: str) -> bool:
    """Whether pages of other origins may ask for this path."""
    return any(re.fullmatch(pattern, path) for pattern in PATHS)
