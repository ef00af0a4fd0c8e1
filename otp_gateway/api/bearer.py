"""The bearer token of a request (RFC 6750)."""

from __future__ import annotations

from flask import request

from otp_gateway.errors import InvalidToken


def token(detail: str | None = None) -> str:
    """The token in ``Authorization``. Raises ``InvalidToken``, with this ``detail``, if there is none."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise InvalidToken(detail)
    return given.strip()
