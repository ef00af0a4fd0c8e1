"""The schemas of requests (marshmallow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

# The digits that a code may be typed in. Not NFKC: a superscript two is no digit of a code.
CODE_DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩０１２３４５６７８９", "0123456789" * 3)
# Unicode's space separators (Zs). str.strip() alone would pass a newline or another control character.
BLANKS = (
    "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
# The same as a regular expression that JSON Schema's readers share (ECMA 262).
BLANK = r"[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
CODE_DIGIT = "[0-9۰-۹٠-٩０-９]"


class RequestSchema(Schema):
    """A JSON object; unknown members are passed over, so that clients may be newer than the gateway."""

    class Meta:
        unknown = EXCLUDE


class PhoneField(fields.String):
    """A phone number as typed; what it means is settled by ``otp_gateway.phones``."""

    def __init__(self) -> None:
        about = {
            "description": "A mobile number in any spelling: `+98…`, `0098…`, `09…`, with blanks, dashes and "
            "brackets, in ASCII, Persian, Arabic or full-width digits.",
            "format": "phone",
            "examples": ["+989123456789", "09123456789", "۰۹۱۲ ۳۴۵ ۶۷۸۹"],
        }
        super().__init__(required=True, metadata=about)


class CodeField(fields.String):
    """A code of exactly ``length`` digits: ASCII, Persian, Arabic or full-width, outer blanks trimmed."""

    def __init__(self, length: int) -> None:
        about = {
            "description": f"{length} digits: ASCII, Persian, Arabic or full-width; outer blanks are cut off",
            "pattern": f"^{BLANK}*{CODE_DIGIT}{{{length}}}{BLANK}*$",
            "examples": ["1234567890"[:length]],
        }
        super().__init__(required=True, metadata=about)
        self._length = length

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        text = text.strip(BLANKS).translate(CODE_DIGITS)
        if len(text) != self._length or not (text.isascii() and text.isdigit()):
            raise ValidationError(f"Must be {self._length} digits.")
        return text


class ChannelField(fields.String):
    """How the code shall travel; only the channels that the operator's account offers."""

    def __init__(self, channels: Sequence[str]) -> None:
        super().__init__(
            load_default="sms",
            validate=validate.OneOf(channels, error="Not available here; use one of: {choices}."),
            metadata={"description": "How the code travels; a call is read out"},
        )


def send_request_schema(channels: Sequence[str]) -> Schema:
    """``{"phone_number": "…", "channel": "sms" | "call"}``, the channel optional."""
    return RequestSchema.from_dict(
        {"phone_number": PhoneField(), "channel": ChannelField(channels)}, name="SendRequestSchema"
    )()


def verify_request_schema(length: int) -> Schema:
    """``{"phone_number": "…", "code": "…"}``."""
    return RequestSchema.from_dict(
        {"phone_number": PhoneField(), "code": CodeField(length)}, name="VerifyRequestSchema"
    )()


def empty_request_schema() -> Schema:
    """``{}``."""
    return RequestSchema.from_dict({}, name="EmptyRequestSchema")()


def token_request_schema() -> Schema:
    """``{"refresh_token": "…"}``."""
    about = {
        "description": "The refresh token of the last pair",
        "examples": ["eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJ…"],
    }
    token = fields.String(required=True, metadata=about)
    return RequestSchema.from_dict({"refresh_token": token}, name="TokenRequestSchema")()
