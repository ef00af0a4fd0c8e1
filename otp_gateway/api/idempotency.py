"""``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header): the client's own name for a request."""

from __future__ import annotations

import re
from dataclasses import replace

from flask import request

from otp_gateway.errors import InvalidRequest
from otp_gateway.model import Caller

HEADER = "Idempotency-Key"
# The key is bare, or it is a quoted string.
KEY = re.compile(r'(?P<quote>"?)(?P<key>[A-Za-z0-9._~-]{16,128})(?P=quote)')
FAULT = "Must be 16 to 128 characters of A-Z a-z 0-9 . _ ~ -, bare or in quotes."


def keyed(caller: Caller) -> Caller:
    """Add the request's key to the caller, if there is one. Raises ``InvalidRequest`` for a malformed key."""
    # Two headers arrive as one, with a comma between them. No key contains a comma.
    given = request.headers.get(HEADER)
    if given is None:
        return caller
    match = KEY.fullmatch(given.strip())
    if match is None:
        raise InvalidRequest("The Idempotency-Key is malformed", {HEADER: [FAULT]})
    return replace(caller, idempotency_key=match["key"])
