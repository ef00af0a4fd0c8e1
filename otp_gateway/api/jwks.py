"""The public keys, for backends that check our tokens."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from otp_gateway.tokens import Tokens

# Seconds for which a backend may keep the keys. It should read them again if it sees an unknown ``kid``.
MAX_AGE = 300


def install(app: Flask, tokens: Tokens) -> None:
    """Serve /.well-known/jwks.json (RFC 7517). Without asymmetric keys, the set is empty."""

    @app.get("/.well-known/jwks.json")
    def jwks() -> Response:
        response = jsonify(tokens.jwks())
        response.cache_control.public = True
        response.cache_control.max_age = MAX_AGE
        response.add_etag()
        response.make_conditional(request)
        return response
