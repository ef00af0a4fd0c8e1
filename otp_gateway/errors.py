"""The tree of errors that the gateway raises on purpose.

    GatewayError
    ├── InvalidRequest             invalid_request
    ├── InvalidPhoneNumber         invalid_phone_number
    ├── UnsupportedDestination     unsupported_destination
    ├── InvalidCode                invalid_code
    ├── IdempotencyKeyReused       idempotency_key_reused
    ├── RequestInProgress          request_in_progress
    ├── Refused                    · waiting for `retry_after` is enough
    │   ├── TooManyAttempts        too_many_attempts
    │   ├── TooManyOtpRequests     too_many_otp_requests
    │   └── RateLimited            rate_limited
    ├── InvalidToken               invalid_token
    ├── CrossOrigin                cross_origin
    ├── StoreUnavailable           store_unavailable
    ├── SmsNotConfigured           sms_not_configured
    ├── SmsBusy                    sms_busy
    └── SendFailed                 · the provider did not confirm the message
        ├── SmsFailed              sms_failed
        └── SmsUnconfirmed         sms_unconfirmed

The table ``STATUS`` in ``otp_gateway.api.problems`` maps each class that has a code to its HTTP status.
"""

from __future__ import annotations

from typing import Any, ClassVar

# The reason of a send that was not tried, because the provider has timed out several times in a row.
SKIPPED = "skipped"
# Kavenegar's codes have three digits. A larger number is no label, so that the labels stay few.
LARGEST_CODE = 999


class GatewayError(Exception):
    """``code`` is stable and for machines. ``detail`` is for people. ``meaning`` is the text that the OpenAPI
    document publishes about the code. None of them ever contains a secret, a phone number or an IP address.
    """

    code: ClassVar[str]
    meaning: ClassVar[str]
    detail: str

    def __init__(self, detail: str | None = None) -> None:
        if detail is not None:
            self.detail = detail
        super().__init__(self.detail)

    @property
    def data(self) -> dict[str, Any]:
        """Further members of the problem document, which the client may see, by name."""
        return {}


class Refused(GatewayError):
    """A limit is reached. ``retry_after`` is in milliseconds; waiting that long is enough.

    ``limit`` names the limit for logs and metrics. The client does not see it.
    """

    limit: str

    def __init__(self, retry_after: int, limit: str | None = None) -> None:
        super().__init__()
        self.retry_after = retry_after
        self.limit = limit or self.limit


class InvalidRequest(GatewayError):
    """The body, or a field of it, is not valid. ``errors`` has the messages by field."""

    code = "invalid_request"
    meaning = "The request is not what the interface expects. `errors` lists messages by field."
    detail = "The request is not valid"

    def __init__(self, detail: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or {}

    @property
    def data(self) -> dict[str, Any]:
        return {"errors": self.errors}


class InvalidPhoneNumber(GatewayError):
    """The text is not one mobile number."""

    code = "invalid_phone_number"
    meaning = "The text cannot be one mobile number."
    detail = "Invalid phone number"


class UnsupportedDestination(GatewayError):
    """The region of the number is not in ``OTP_REGIONS``."""

    code = "unsupported_destination"
    meaning = "A valid mobile number of a region that the operator has not allowed."
    detail = "Phone numbers of this region are not supported"


class InvalidCode(GatewayError):
    """The code does not match. The error does not show whether another code is stored for the phone."""

    code = "invalid_code"
    meaning = "A wrong, expired, used or never-sent code: the four are not told apart."
    detail = "Invalid OTP code"

    def __init__(self, attempts_remaining: int) -> None:
        super().__init__()
        self.attempts_remaining = attempts_remaining

    @property
    def data(self) -> dict[str, Any]:
        return {"attempts_remaining": self.attempts_remaining}


class IdempotencyKeyReused(GatewayError):
    """The client has used its idempotency key with another body."""

    code = "idempotency_key_reused"
    meaning = "The `Idempotency-Key` was used with another body."
    detail = "The Idempotency-Key was used with another body"


class RequestInProgress(GatewayError):
    """The first request with this idempotency key still waits for the provider."""

    code = "request_in_progress"
    meaning = "The first request with this `Idempotency-Key` is still in progress."
    detail = "The first request with this Idempotency-Key is still in progress"


class TooManyAttempts(Refused):
    """No attempt is left for the code, or a budget of failures is used up.

    ``limit``: ``tries``, ``client_failures`` or ``phone_failures``. If several are reached, the widest.
    """

    code = "too_many_attempts"
    meaning = "No try is left for this code, or a failure budget of the phone is spent."
    detail = "Too many failed attempts"
    limit = "tries"


class TooManyOtpRequests(Refused):
    """The phone has reached a limit for sends."""

    code = "too_many_otp_requests"
    meaning = "One of the phone's sliding windows is full."
    detail = "Too many OTP requests"
    limit = "phone"


class RateLimited(Refused):
    """A limit for requests is reached. ``limit``: ``ip`` or ``session``."""

    code = "rate_limited"
    meaning = "One of the address's sliding windows is full, or the session was refreshed too often."
    detail = "Too many requests"
    limit = "ip"


class InvalidToken(GatewayError):
    """The access or refresh token cannot be used. The error does not show why."""

    code = "invalid_token"
    meaning = "A token that is not ours, not of this kind, expired, spent or of an ended session."
    detail = "The token is invalid or has expired"


class CrossOrigin(GatewayError):
    """Tokens travel in cookies, and a page of another origin may have made the request."""

    code = "cross_origin"
    meaning = "With cookies, a request that does not come from a page of our own origin."
    detail = "The request does not come from this site's own pages"


class StoreUnavailable(GatewayError):
    """Redis did not reply in time, or replied with an error. The command has no effect at a later time.

    ``reason`` is a short label for logs: ``unreachable``, ``timeout``, ``late``, ``out_of_memory``, …
    """

    code = "store_unavailable"
    meaning = (
        "Redis could not be reached in time or answered with an error. Nothing runs later on its account."
    )
    detail = "The service is temporarily unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class SmsNotConfigured(GatewayError):
    """The gateway cannot send, because it has no key of the provider."""

    code = "sms_not_configured"
    meaning = "No provider key is configured."
    detail = "SMS service is not configured"


class SmsBusy(GatewayError):
    """As many sends as a worker may have in progress wait for the provider. Nothing is charged."""

    code = "sms_busy"
    meaning = "Too many sends are already waiting for the SMS provider; nothing was charged."
    detail = "The SMS service is busy"


class SendFailed(GatewayError):
    """The provider did not confirm the message.

    ``definite``: nothing was sent. ``reason`` is a short label, never text of the provider. ``provider_code``
    is the number in its reply. ``fault``: ``caller``, ``configuration``, ``bug``, ``temporary``, ``unknown``.
    """

    detail = "Failed to send OTP"
    definite: ClassVar[bool]

    def __init__(self, reason: str, *, fault: str = "unknown", provider_code: int | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.fault = fault
        self.provider_code = provider_code

    @property
    def label(self) -> str:
        """The provider's code, or the reason if there is no code: one of a bounded number of labels."""
        if self.provider_code is None or not 0 <= self.provider_code <= LARGEST_CODE:
            return self.reason
        return f"entry_{self.provider_code}" if self.reason == "entry" else str(self.provider_code)


class SmsFailed(SendFailed):
    """The message was definitely not sent."""

    code = "sms_failed"
    meaning = "The message was surely not sent."
    definite = True


class SmsUnconfirmed(SendFailed):
    """The message may have been sent. The provider's reply is missing or has no known meaning."""

    code = "sms_unconfirmed"
    meaning = "The message may have been sent: the reply never came, or nobody can tell what it means."
    definite = False
