"""The shapes of replies (marshmallow); routes dump by them, and the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, fields


def _text(description: str, example: Any = None, **more: Any) -> fields.String:
    return fields.String(required=True, metadata=_about(description, example) | more)


def _seconds(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata=_about(description, example) | {"minimum": 0})


def _about(description: str, example: Any) -> dict[str, Any]:
    return {"description": description} | ({} if example is None else {"examples": [example]})


class Reply(Schema):
    """A JSON object to which later versions may add members."""

    class Meta:
        unknown = EXCLUDE


class Sent(Reply):
    """A code is on its way."""

    message = _text("For people", "OTP sent successfully")
    phone_number = _text("The number in E.164", "+989123456789")
    expires_in = _seconds("Seconds that the code in the user's hand still has", 300)
    resend_in = _seconds("Seconds until this phone may ask again; 0: now", 0)


class User(Reply):
    """Who is signed in."""

    id = _text("Follows from issuer and phone alone", "7fa7f8fc-17e2-5cf0-9be8-7a3046fefead", format="uuid")
    phone_number = _text("The number in E.164", "+989123456789")


class Session(Reply):
    """A session whose tokens travel in cookies."""

    token_type = _text("Always Bearer", "Bearer")
    expires_in = _seconds("Seconds that the access token lives", 900)
    refresh_expires_in = _seconds("Seconds that the session lives", 2_592_000)
    user = fields.Nested(User, required=True)


class TokenPair(Session):
    """A session with its tokens."""

    access_token = _text("A JWT with typ at+jwt")
    refresh_token = _text("A JWT with typ rt+jwt, good for one refresh")


class Healthy(Reply):
    """The process answers."""

    status = _text("Always ok", "ok")


class Ready(Reply):
    """All that a login needs is there."""

    status = _text("Always ready", "ready")
    parts = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=_about("ok, or what is wrong, by part", {"redis": "ok", "sms": "ok"}),
    )


class KeySet(Reply):
    """Public keys (RFC 7517); empty where a secret is shared."""

    keys = fields.List(fields.Dict(), required=True, metadata={"description": "JWKs with kid, alg and use"})


class Problem(Reply):
    """An error (RFC 9457)."""

    type = _text("A URI for the kind of problem", "urn:otp-gateway:problem:invalid_code", format="uri")
    title = _text("The status in words", "Bad Request")
    status = fields.Integer(required=True, metadata=_about("The HTTP status", 400))
    detail = _text("For people", "Invalid OTP code")
    code = _text("For machines, stable", "invalid_code")
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "With invalid_request: messages by field"},
    )
    attempts_remaining = fields.Integer(
        metadata={"description": "With invalid_code: tries left", "minimum": 0}
    )
    parts = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "With /readyz: ok, or what is wrong, by part"},
    )
