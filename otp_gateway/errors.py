"""The domain's error tree: a stable code, words for people, data. Never an HTTP status.

``otp_gateway.api.problems`` holds the one table that turns these into HTTP.
"""

from __future__ import annotations

from typing import Any, ClassVar

# Kavenegar's codes have three digits; what is beyond makes no label.
LARGEST_CODE = 999


class GatewayError(Exception):
    """Root of every error that the gateway raises on purpose.

    ``code`` is stable and for machines, ``detail`` is for people. Neither ever holds a secret, a phone
    number or an address.
    """

    code: ClassVar[str]
    detail: str

    def __init__(self, detail: str | None = None) -> None:
        if detail is not None:
            self.detail = detail
        super().__init__(self.detail)

    @property
    def data(self) -> dict[str, Any]:
        """What the caller may know beside code and detail, by member name of the problem document."""
        return {}


class Refused(GatewayError):
    """A refusal that time heals. ``retry_after`` is in milliseconds; waiting that long is enough.

    ``limit`` names the limit that was hit, for logs and metrics; clients are not told.
    """

    limit: str

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class InvalidRequest(GatewayError):
    """The request is not what the interface expects. ``errors`` lists messages by field."""

    code = "invalid_request"
    detail = "The request is not valid"

    def __init__(self, detail: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or {}

    @property
    def data(self) -> dict[str, Any]:
        return {"errors": self.errors}


class InvalidPhoneNumber(GatewayError):
    """The text cannot be one mobile number."""

    code = "invalid_phone_number"
    detail = "Invalid phone number"


class UnsupportedDestination(GatewayError):
    """A valid mobile number of a region that the operator has not allowed."""

    code = "unsupported_destination"
    detail = "Phone numbers of this region are not supported"


class InvalidCode(GatewayError):
    """A wrong, expired, used or never-sent code: the four are not told apart."""

    code = "invalid_code"
    detail = "Invalid OTP code"

    def __init__(self, attempts_remaining: int) -> None:
        super().__init__()
        self.attempts_remaining = attempts_remaining

    @property
    def data(self) -> dict[str, Any]:
        return {"attempts_remaining": self.attempts_remaining}


class TooManyAttempts(Refused):
    """No try is left for this code, or a failure budget of the phone is spent.

    ``limit``: ``tries``, ``client_failures`` or ``phone_failures``, the widest of those that were hit.
    """

    code = "too_many_attempts"
    detail = "Too many failed attempts"

    def __init__(self, retry_after: int, limit: str) -> None:
        super().__init__(retry_after)
        self.limit = limit


class TooManyOtpRequests(Refused):
    """One of the phone's sliding windows is full."""

    code = "too_many_otp_requests"
    detail = "Too many OTP requests"
    limit = "phone"


class RateLimited(Refused):
    """One of the address's sliding windows is full."""

    code = "rate_limited"
    detail = "Too many requests"
    limit = "ip"


class InvalidToken(GatewayError):
    """A token that is not ours, not of this kind, expired, spent or of an ended session."""

    code = "invalid_token"
    detail = "The token is invalid or has expired"


class CrossOrigin(GatewayError):
    """With cookies, a request that does not come from a page of our own origin."""

    code = "cross_origin"
    detail = "The request does not come from this site's own pages"


class StoreUnavailable(GatewayError):
    """Redis could not be reached in time or answered with an error. Nothing runs later on its account.

    ``reason`` is a short label for logs: ``unreachable``, ``timeout``, ``late``, ``out_of_memory``, …
    """

    code = "store_unavailable"
    detail = "The service is temporarily unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class SmsNotConfigured(GatewayError):
    """No provider key is configured."""

    code = "sms_not_configured"
    detail = "SMS service is not configured"


class SendFailed(GatewayError):
    """The provider did not confirm the message.

    ``definite`` says that surely nothing was sent. ``reason`` is a short label for logs (never text of the
    provider, never a secret), ``provider_code`` the provider's own number where it gave one, ``fault`` whose
    fault it is: ``caller``, ``configuration``, ``bug``, ``temporary`` or ``unknown``.
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
        """The provider's code, or the reason where there is none: one of a bounded number of words."""
        if self.provider_code is None or not 0 <= self.provider_code <= LARGEST_CODE:
            return self.reason
        return f"entry_{self.provider_code}" if self.reason == "entry" else str(self.provider_code)


class SmsFailed(SendFailed):
    """The message was surely not sent."""

    code = "sms_failed"
    definite = True


class SmsUnconfirmed(SendFailed):
    """The message may have been sent: the reply never came, or nobody can tell what it means."""

    code = "sms_unconfirmed"
    definite = False
