"""The schemas of replies (marshmallow). Routes make their replies with them. The OpenAPI document shows them.

The document calls a schema by the name of its class, without ``Schema``.
"""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from otp_gateway import errors


def _text(description: str, example: Any = None, **more: Any) -> fields.String:
    return fields.String(required=True, metadata=_about(description, example) | more)


def _seconds(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata=_about(description, example) | {"minimum": 0})


def _about(description: str, example: Any) -> dict[str, Any]:
    return {"description": description} | ({} if example is None else {"examples": [example]})


def _e164() -> fields.String:
    return _text("The number in E.164", "+989123456789", pattern=r"^\+[1-9][0-9]{6,14}$")


def _one_of(description: str, *values: str) -> fields.String:
    return _text(description, values[0], enum=list(values))


def _hexadecimal(description: str, size: int, name: str | None = None) -> fields.String:
    """``size`` bytes in hexadecimal digits."""
    about = _about(description, bytes(range(0x10, 0x10 + size)).hex())
    about["pattern"] = f"^[0-9a-f]{{{2 * size}}}$"
    return fields.String(required=True, data_key=name, metadata=about)


class ReplySchema(Schema):
    """A JSON object to which later versions may add members."""

    class Meta:
        unknown = EXCLUDE


class SentSchema(ReplySchema):
    """A code was sent."""

    message = _text("For people", "OTP sent successfully")
    phone_number = _e164()
    expires_in = _seconds("The remaining lifetime of the code that the user has now, in seconds", 300)
    resend_in = _seconds("Seconds until this phone may request a send again; 0: now", 0)


class UserSchema(ReplySchema):
    """Who is signed in."""

    id = _text(
        "It is derived only from issuer and phone, so it survives every change of keys",
        "7fa7f8fc-17e2-5cf0-9be8-7a3046fefead",
        format="uuid",
    )
    phone_number = _e164()


class SessionSchema(ReplySchema):
    """A session whose tokens are in cookies."""

    token_type = _one_of("Always Bearer", "Bearer")
    expires_in = _seconds("The lifetime of the access token, in seconds", 900)
    refresh_expires_in = _seconds("The lifetime of the session, in seconds", 2_592_000)
    user = fields.Nested(UserSchema, required=True)


class TokenPairSchema(SessionSchema):
    """A session with its tokens."""

    access_token = _text("A JWT with `typ` `at+jwt`", "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJ…")
    refresh_token = _text(
        "A JWT with `typ` `rt+jwt`, for one refresh", "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJ…"
    )


class LoginSchema(TokenPairSchema):
    """A new session with its tokens, and the device token of this client."""

    device_token = fields.String(
        metadata=_about(
            "Opaque, at most 120 characters. It is valid for longer than the session: keep it separately, "
            "and send it with later logins of this phone. Absent if there are no device tokens",
            "AZryTcQA4m5PqWcYkR2vJ0hT8sXbL1dNf6gUeQz3",
        )
        | {"maxLength": 120}
    )


class HealthySchema(ReplySchema):
    """The process answers."""

    status = _one_of("Always ok", "ok")


class PartsSchema(ReplySchema):
    """The parts that a login needs: `ok`, or the code of the error."""

    redis = _one_of("The store of codes, limits and sessions", "ok", errors.StoreUnavailable.code)
    sms = _one_of("The service that sends the codes", "ok", errors.SmsNotConfigured.code)


class ReadySchema(ReplySchema):
    """Every part that a login needs is ready."""

    status = _one_of("Always ready", "ready")
    parts = fields.Nested(PartsSchema, required=True)


class KeySchema(ReplySchema):
    """A public key (RFC 7517); further members depend on `kty`."""

    kty = _text("The kind of key", "OKP")
    kid = _text(
        "As in the header of the tokens that it has signed", "mnn2LZ0dXpWTOMIZr1XFdrcyyJ3iSvEv3fwBB6FWCVs"
    )
    alg = _one_of("The algorithm of its signatures", "EdDSA", "ES256", "RS256")
    use = _one_of("Always sig", "sig")


class KeySetSchema(ReplySchema):
    """Public keys (RFC 7517); empty if a secret is shared."""

    keys = fields.List(fields.Nested(KeySchema), required=True)


class ChallengeDataSchema(ReplySchema):
    """The members that the gateway adds to the parameters."""

    attempts = fields.Integer(
        required=True,
        metadata=_about("The counter of the solution is below this number", 1000) | {"minimum": 1},
    )


class ChallengeParametersSchema(ReplySchema):
    """The parameters of a challenge. A client sends them back as they are."""

    algorithm = _one_of("The function that derives a key", "PBKDF2/SHA-256")
    cost = fields.Integer(required=True, metadata=_about("Iterations of one key", 2000) | {"minimum": 1})
    key_length = fields.Integer(
        required=True, data_key="keyLength", metadata=_about("Bytes of a key", 32) | {"minimum": 1}
    )
    key_prefix = _hexadecimal("The key that solves the challenge begins with these bytes", 16, "keyPrefix")
    key_signature = _hexadecimal("The gateway's signature of that key", 32, "keySignature")
    nonce = _hexadecimal("The first bytes of each password; the counter follows them", 16)
    salt = _hexadecimal("The salt", 16)
    expires_at = fields.Integer(
        required=True,
        data_key="expiresAt",
        metadata=_about("From this time, in seconds since 1970, the solution is no longer valid", 1795622400),
    )
    data = fields.Nested(ChallengeDataSchema, required=True)


class ChallengeSchema(ReplySchema):
    """A proof of work: ALTCHA's challenge object, version 2. See docs/CHALLENGE.md."""

    parameters = fields.Nested(ChallengeParametersSchema, required=True)
    signature = _hexadecimal("The gateway's signature of the parameters", 32)


class ProblemSchema(ReplySchema):
    """An error (RFC 9457)."""

    type = _text("A URI for the kind of problem", "urn:otp-gateway:problem:invalid_code", format="uri")
    title = _text("The status in words", "Bad Request")
    status = fields.Integer(required=True, metadata=_about("The HTTP status", 400))
    detail = _text("For people; it may change", "Invalid OTP code")
    code = _text("For machines, stable", "invalid_code")
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "With invalid_request: messages by field"},
    )
    attempts_remaining = fields.Integer(
        metadata={"description": "With invalid_code: tries left", "minimum": 0}
    )
    challenge = fields.Nested(
        ChallengeSchema,
        metadata={"description": "With challenge_required and invalid_challenge: the challenge to solve"},
    )
    parts = fields.Nested(
        PartsSchema, metadata={"description": "With /readyz: `ok`, or what is wrong, by part"}
    )
    reasons = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "With /readyz: the reason by part, in the words of the log"},
    )
