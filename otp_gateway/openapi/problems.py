"""Every kind of problem in the API's replies, as the OpenAPI document describes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from otp_gateway import errors
from otp_gateway.api.problems import FRAMEWORK_DETAILS, STATUS, UNEXPECTED, code_of, document

# An example of a challenge.
CHALLENGE: dict[str, Any] = {
    "parameters": {
        "algorithm": "PBKDF2/SHA-256",
        "cost": 2000,
        "data": {"attempts": 1000},
        "expiresAt": 1795622400,
        "keyLength": 32,
        "keyPrefix": "3877575d1b7633586bd94cfe6302605c",
        "keySignature": "d5812a9023463c9bb1d4c573b8c8a3e2828b9209666207a49b958c9120271b3d",
        "nonce": "dcaed4b5c95fa650dff44c591a5a4652",
        "salt": "26725facd7e25bc6536be8d4fb9e3ff6",
    },
    "signature": "900eb70b7eb05f03c9e5b16c169d766bcb3d9c47f3cf7a5b327ebd2c0f034e96",
}
# Members that are added to the standard ones, by code: an example of each.
MEMBERS: dict[str, dict[str, Any]] = {
    errors.InvalidRequest.code: {"errors": {"phone_number": ["Missing data for required field."]}},
    errors.InvalidCode.code: {"attempts_remaining": 2},
    errors.ChallengeRequired.code: {"challenge": CHALLENGE},
    errors.InvalidChallenge.code: {"challenge": CHALLENGE},
}
# The members that every problem of a kind has with the same value.
FIXED = ("type", "status", "code")
# Errors that the web framework finds, or that routes raise as errors of the framework.
FRAMEWORK_MEANINGS = {
    HTTPStatus.FORBIDDEN: "The client may not read this: it is for monitoring on the same machine.",
    HTTPStatus.NOT_FOUND: "No route has this path.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The path has other methods; `Allow` names them.",
    HTTPStatus.PRECONDITION_FAILED: "`If-Match` names another version than the present one.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 8 KiB.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not declared as `application/json`.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A defect of the gateway; `X-Request-ID` finds it in the log.",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One code: its status, its meaning, and the text and the members of an example."""

    code: str
    status: HTTPStatus
    meaning: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its schema, such as InvalidCode."""
        return "".join(word.capitalize() for word in self.code.split("_"))

    @property
    def example(self) -> dict[str, Any]:
        """A problem document of this kind."""
        return document(self.status, self.code, self.detail, **self.members)

    def schema(self, general: Mapping[str, Any], optional: Collection[str]) -> dict[str, Any]:
        """The schema of this kind. ``general``: the schema of every problem; ``optional``: what it can have.

        It repeats the general members instead of referring to them: generators of clients cannot merge a
        ``const`` with the same member of another schema, and drop such a schema.
        """
        members, required = general["properties"], {*general["required"], *self.members}
        own = {name: schema for name, schema in members.items() if name in required or name in optional}
        for name, value in self.example.items():
            if name in FIXED:
                own[name] = {"type": members[name]["type"], "const": value}
            elif name not in self.members:
                own[name] = members[name] | {"examples": [value]}
        return {
            "description": self.meaning,
            "type": "object",
            "properties": own,
            "required": [name for name in own if name in required],
        }


def _of_gateway(error: type[errors.GatewayError], status: HTTPStatus) -> Kind:
    return Kind(error.code, status, error.meaning, error.detail, MEMBERS.get(error.code, {}))


def _of_framework(status: HTTPStatus, meaning: str) -> Kind:
    details = FRAMEWORK_DETAILS | {HTTPStatus.INTERNAL_SERVER_ERROR: UNEXPECTED}
    return Kind(code_of(status), status, meaning, details.get(status, status.phrase))


KINDS = {
    kind.code: kind
    for kind in (
        *(_of_gateway(error, status) for error, status in STATUS.items()),
        *(_of_framework(status, meaning) for status, meaning in FRAMEWORK_MEANINGS.items()),
    )
}
FORBIDDEN = code_of(HTTPStatus.FORBIDDEN)
NOT_FOUND = code_of(HTTPStatus.NOT_FOUND)
METHOD_NOT_ALLOWED = code_of(HTTPStatus.METHOD_NOT_ALLOWED)
PRECONDITION_FAILED = code_of(HTTPStatus.PRECONDITION_FAILED)
INTERNAL_ERROR = code_of(HTTPStatus.INTERNAL_SERVER_ERROR)
# Errors about a body: it is too large, it is no JSON, or it does not match the schema.
BODY = (
    errors.InvalidRequest.code,
    code_of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    code_of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
)
# Errors about the limit of an IP address, which Redis counts.
LIMITER = (errors.RateLimited.code, errors.StoreUnavailable.code)
# Errors of every request about a phone.
PHONE = (errors.InvalidPhoneNumber.code, errors.UnsupportedDestination.code, errors.TooManyAttempts.code)
# Errors of a request with an Idempotency-Key.
KEY_REUSED = errors.IdempotencyKeyReused.code
# Errors of a send.
SEND = (
    errors.RequestInProgress.code,
    errors.TooManyOtpRequests.code,
    errors.ChallengeRequired.code,
    errors.InvalidChallenge.code,
    errors.SendingPaused.code,
    errors.SmsNotConfigured.code,
    errors.SmsBusy.code,
    errors.SmsFailed.code,
    errors.SmsUnconfirmed.code,
)
