"""The schemas of requests (marshmallow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from otp_gateway.characters import DASHES, DIGITS, IGNORED, WHITE_SPACE, regex_class

# The characters that a user may type or paste around and between the digits of a code.
SEPARATORS = WHITE_SPACE | DASHES | IGNORED
# Texts are not normalised by NFKC, because a superscript two is not a digit of a code.
PLAIN_CODE = str.maketrans(DIGITS | dict.fromkeys(SEPARATORS, ""))
CODE_DIGIT = regex_class(frozenset(DIGITS) | frozenset("0123456789"))
SEPARATOR = regex_class(SEPARATORS)


class RequestSchema(Schema):
    """A JSON object. Unknown members are ignored, because a client can be newer than the gateway."""

    class Meta:
        unknown = EXCLUDE


class PhoneField(fields.String):
    """A phone number as typed; ``otp_gateway.phones`` reads it."""

    def __init__(self) -> None:
        about = {
            "description": "A mobile number in any format: `+98…`, `0098…`, `09…`, in ASCII, Persian, Arabic "
            "or full-width digits, with blanks, dots, brackets and dashes of any kind. Invisible characters "
            "(direction marks, variation selectors and others) are ignored. White space around the number is "
            "removed.",
            "format": "phone",
            "examples": ["+989123456789", "09123456789", "۰۹۱۲ ۳۴۵ ۶۷۸۹"],
        }
        super().__init__(required=True, metadata=about)


class CodeField(fields.String):
    """A code of exactly ``length`` digits, without the characters that people type and paste with them."""

    def __init__(self, length: int) -> None:
        about = {
            "description": f"{length} digits: ASCII, Persian, Arabic or full-width. White space, dashes of "
            "any kind and invisible characters, around and between the digits, are removed. The pattern has "
            "these up to U+FFFF; the gateway also removes the others.",
            "pattern": f"^{SEPARATOR}*({CODE_DIGIT}{SEPARATOR}*){{{length}}}$",
            "examples": ["1234567890"[:length]],
        }
        super().__init__(required=True, metadata=about)
        self._length = length

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        text = text.translate(PLAIN_CODE)
        if len(text) != self._length or not (text.isascii() and text.isdigit()):
            raise ValidationError(f"Must be {self._length} digits.")
        return text


class ChannelField(fields.String):
    """The channel of the code. Only channels that the operator's account offers are accepted."""

    def __init__(self, channels: Sequence[str]) -> None:
        super().__init__(
            # The default is not "sms": the document would show it as a default, and generators of clients
            # make a member with a default required.
            load_default=lambda: "sms",
            validate=validate.OneOf(channels, error="Not available here; use one of: {choices}."),
            metadata={"description": "`sms` if absent; a call reads the code out"},
        )


class ChallengeField(fields.String):
    """The solution of a challenge; ``otp_gateway.abuse.challenge`` reads it."""

    def __init__(self) -> None:
        about = {
            "description": "The solution of the challenge in the gateway's last reply: ALTCHA's payload, the "
            "base64 of a JSON object with `challenge` and `solution`.",
            "examples": ["eyJjaGFsbGVuZ2UiOnsicGFyYW1ldGVycyI6eyJhbGdvcml0aG0iOiJQQktERjIvU0hBLTI1NiIs…"],
        }
        super().__init__(load_default=lambda: None, metadata=about)


class DeviceTokenField(fields.String):
    """The device token of an earlier login; ``otp_gateway.abuse.devices`` reads it."""

    def __init__(self) -> None:
        about = {
            "description": "The `device_token` of an earlier login with this phone. It gives the client its "
            "own limits, so attacks on this phone do not lock the client out. A token that is not good has "
            "the same effect as no token. If tokens are in cookies, an empty text makes the gateway ignore "
            "the cookie of the device: a client whose own limits are used up sends it.",
            "examples": ["AZryTcQA4m5PqWcYkR2vJ0hT8sXbL1dNf6gUeQz3"],
        }
        super().__init__(load_default=lambda: None, metadata=about)


def _one_of(*values: str, about: str) -> fields.String:
    """An optional field that accepts only certain values."""
    return fields.String(
        load_default=lambda: None,
        validate=validate.OneOf(values, error="Use one of: {choices}."),
        metadata={"description": about},
    )


def send_request_schema(channels: Sequence[str]) -> Schema:
    """``{"phone_number": "…"}``, and optional members."""
    members: dict[str, fields.Field[Any]] = {
        "phone_number": PhoneField(),
        "channel": ChannelField(channels),
        "challenge": ChallengeField(),
        "device_token": DeviceTokenField(),
        "lang": _one_of("fa", "en", about="The language of the message; by default, Accept-Language decides"),
        "client": _one_of("android", about="The app waits for the message with Android's SMS Retriever"),
    }
    return RequestSchema.from_dict(members, name="SendRequestSchema")()


def verify_request_schema(length: int) -> Schema:
    """``{"phone_number": "…", "code": "…", "device_token": "…"}``. The last member is optional."""
    members: dict[str, fields.Field[Any]] = {
        "phone_number": PhoneField(),
        "code": CodeField(length),
        "device_token": DeviceTokenField(),
    }
    return RequestSchema.from_dict(members, name="VerifyRequestSchema")()


def empty_request_schema() -> Schema:
    """``{}``."""
    return RequestSchema.from_dict({}, name="EmptyRequestSchema")()


class RefreshTokenField(fields.String):
    """A refresh token; ``otp_gateway.tokens`` reads it."""

    def __init__(self) -> None:
        about = {
            "description": "The refresh token of the last pair",
            "examples": ["eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJ…"],
        }
        super().__init__(required=True, metadata=about)


class ForgetDeviceField(fields.Boolean):
    """Whether the browser must forget its device tokens: ``true`` or ``false``, and no other JSON value."""

    def __init__(self) -> None:
        about = {"description": "`true` also removes the cookie with the device tokens; without it, `false`"}
        super().__init__(load_default=lambda: False, metadata=about)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        # marshmallow also reads 1 and "yes" as true.
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return bool(super()._deserialize(value, attr, data, **kwargs))


def token_request_schema() -> Schema:
    """``{"refresh_token": "…"}``."""
    return RequestSchema.from_dict({"refresh_token": RefreshTokenField()}, name="TokenRequestSchema")()


def revoke_request_schema() -> Schema:
    """``{"refresh_token": "…", "forget_device": true | false}``. The last member is optional."""
    members: dict[str, fields.Field[Any]] = {
        "refresh_token": RefreshTokenField(),
        "forget_device": ForgetDeviceField(),
    }
    return RequestSchema.from_dict(members, name="RevokeRequestSchema")()


def forget_request_schema() -> Schema:
    """``{"forget_device": true | false}``, optional."""
    return RequestSchema.from_dict({"forget_device": ForgetDeviceField()}, name="ForgetRequestSchema")()
