"""What routes read of a request: the JSON body, the phone, the caller."""

from __future__ import annotations

import json
from typing import Any

from flask import g, request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from otp_gateway.api import journal
from otp_gateway.errors import InvalidRequest
from otp_gateway.model import Caller, PhoneNumber
from otp_gateway.phones import PhoneParser


def require_json() -> None:
    """Refuse any other content type; a page of another site cannot send this one without a preflight."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json")


def body(schema: Schema) -> Any:
    """The body, as the schema loads it. Raises ``InvalidRequest``, and 415 or 413."""
    require_json()
    try:
        # Not get_json(): it would take UTF-16, and pass on what a deep nesting or a huge number raises.
        found = json.loads(request.get_data(cache=False).decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise InvalidRequest("The body is not a JSON object")
    try:
        return schema.load(found)
    except ValidationError as error:
        raise InvalidRequest("The request has missing or wrong fields", error.messages_dict) from None


def phone(phones: PhoneParser, fields: dict[str, Any]) -> PhoneNumber:
    """The body's phone number, noted in the log under its mask."""
    parsed = phones.parse(fields["phone_number"])
    journal.note(phone=parsed.masked)
    return parsed


def caller() -> Caller:
    """Who asks, once the door has counted the request."""
    # The budget's client is the network that a limit counts as one client: an IPv4 address or a /64.
    return Caller(client=g.networks[-1], clock=g.admission.clock)
