"""Reads the parts of a request that routes need: the JSON body, the phone, the caller."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from otp_gateway.api import context
from otp_gateway.errors import InvalidRequest
from otp_gateway.model import PhoneNumber
from otp_gateway.phones import PhoneParser

MAX_BODY = 8 * 1024


def require_json() -> None:
    """Refuse any other content type. A page of another site cannot send JSON without a preflight."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json")


def load(schema: Schema) -> Any:
    """The body, as the schema loads it. Raises ``InvalidRequest``, and 415 or 413."""
    require_json()
    try:
        # get_json() is not used: it accepts UTF-16 and NaN, and it raises other errors for deep nesting and
        # huge numbers.
        found = json.loads(read().decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise InvalidRequest("The body is not a JSON object")
    try:
        return schema.load(found)
    except ValidationError as error:
        raise InvalidRequest("The request has missing or wrong fields", error.messages_dict) from None


def read() -> bytes:
    """The whole body, of at most ``MAX_BODY`` bytes. Raises 413, or ``InvalidRequest`` if it is broken."""
    try:
        data = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001  # each server has its own errors for broken framing, with its bytes in them
        raise InvalidRequest("The body could not be read") from None
    # A chunked body is cut at MAX_CONTENT_LENGTH without an error. This limit is one byte more than MAX_BODY.
    # So a body that was cut is longer than MAX_BODY.
    if len(data) > MAX_BODY:
        raise RequestEntityTooLarge
    if request.content_length not in (None, len(data)):
        raise InvalidRequest("The body ended early")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def phone(phones: PhoneParser, fields: dict[str, Any]) -> PhoneNumber:
    """The phone number in the body. Its masked form is added to the log line."""
    parsed = phones.parse(fields["phone_number"])
    context.current().note(phone=parsed.masked)
    return parsed
