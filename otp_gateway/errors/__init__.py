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
    ├── Challenged                 · has a challenge that the client can solve
    │   ├── ChallengeRequired      challenge_required
    │   └── InvalidChallenge       invalid_challenge
    ├── SendingPaused              sending_paused
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

from otp_gateway.errors.base import (
    Challenged,
    GatewayError,
    Refused,
)
from otp_gateway.errors.failures import (
    LARGEST_CODE,
    SKIPPED,
    SendFailed,
    SmsBusy,
    SmsFailed,
    SmsNotConfigured,
    SmsUnconfirmed,
    StoreUnavailable,
)
from otp_gateway.errors.refusals import (
    ChallengeRequired,
    CrossOrigin,
    IdempotencyKeyReused,
    InvalidChallenge,
    InvalidCode,
    InvalidPhoneNumber,
    InvalidRequest,
    InvalidToken,
    RateLimited,
    RequestInProgress,
    SendingPaused,
    TooManyAttempts,
    TooManyOtpRequests,
    UnsupportedDestination,
)

__all__ = [
    "LARGEST_CODE",
    "SKIPPED",
    "ChallengeRequired",
    "Challenged",
    "CrossOrigin",
    "GatewayError",
    "IdempotencyKeyReused",
    "InvalidChallenge",
    "InvalidCode",
    "InvalidPhoneNumber",
    "InvalidRequest",
    "InvalidToken",
    "RateLimited",
    "Refused",
    "RequestInProgress",
    "SendFailed",
    "SendingPaused",
    "SmsBusy",
    "SmsFailed",
    "SmsNotConfigured",
    "SmsUnconfirmed",
    "StoreUnavailable",
    "TooManyAttempts",
    "TooManyOtpRequests",
    "UnsupportedDestination",
]
