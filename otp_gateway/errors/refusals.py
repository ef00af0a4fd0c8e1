"""Errors about a request: its fields, its code, its token, or a limit that it has reached."""

from __future__ import annotations

from typing import Any

from otp_gateway.errors.base import Challenged, GatewayError, Refused


class InvalidRequest(GatewayError):
    """The body, or a field of it, is not valid. ``errors`` has the messages by field."""

    code = "invalid_request"
    meaning = "The request is not valid. `errors` lists messages by field."
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
    meaning = "The text is not one mobile number."
    detail = "Invalid phone number"


class UnsupportedDestination(GatewayError):
    """The region of the number is not in ``OTP_REGIONS``."""

    code = "unsupported_destination"
    meaning = "A valid mobile number of a region that the operator has not allowed."
    detail = "Phone numbers of this region are not supported"


class InvalidCode(GatewayError):
    """The code does not match. The error does not show whether another code is stored for the phone."""

    code = "invalid_code"
    meaning = "A wrong, expired, used or never-sent code: the answer is the same for all four."
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

    ``limit``: ``tries``, ``client_failures``, ``phone_failures``, or ``device_failures`` in the device lane.
    If several are reached, it is the widest one.
    """

    code = "too_many_attempts"
    meaning = "No try is left for this code, or a failure budget of the phone is used up."
    detail = "Too many failed attempts"
    limit = "tries"


class TooManyOtpRequests(Refused):
    """The phone has reached a limit for sends. ``limit``: ``phone``, or ``device`` in the device lane."""

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


class ChallengeRequired(Challenged):
    """The send has no credit at the gate. With a solved challenge it goes out."""

    code = "challenge_required"
    meaning = (
        "Sends have no credit left, or the operator has paused the prefix or the network. Solve `challenge` "
        "and send the request again with the solution."
    )
    detail = "Solve the challenge and try again"


class SendingPaused(GatewayError):
    """The gate refuses the send, and a challenge does not help.

    ``reason`` is for logs: ``budget``, ``network`` or ``muted``.
    """

    code = "sending_paused"
    meaning = (
        "The network has used up its challenges, the operator's send budget is used up, or the phone is "
        "muted. The error does not show which of these is the reason."
    )
    detail = "No codes are sent at the moment"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class InvalidChallenge(Challenged):
    """The solution in the request cannot be used. The error does not show why, and has a new challenge.

    ``reason`` is for logs: ``unreadable``, ``unsigned``, ``expired``, ``unsolved`` or ``used``.
    """

    code = "invalid_challenge"
    meaning = "The solution of a challenge is wrong, expired or used. `challenge` is a new one."
    detail = "The solution of the challenge is wrong, expired or used"

    def __init__(self, challenge: dict[str, Any], reason: str) -> None:
        super().__init__(challenge)
        self.reason = reason


class InvalidToken(GatewayError):
    """The access or refresh token cannot be used. The error does not show why."""

    code = "invalid_token"
    meaning = "A token that is not ours, not of this kind, expired, used, or of an ended session."
    detail = "The token is invalid or has expired"


class CrossOrigin(GatewayError):
    """Tokens travel in cookies, and a page of another origin may have made the request."""

    code = "cross_origin"
    meaning = "With cookies: the request does not come from a page of our own origin."
    detail = "The request does not come from this site's own pages"
