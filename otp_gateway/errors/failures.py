"""Errors of the services behind the gateway: Redis and the SMS provider."""

from __future__ import annotations

from typing import ClassVar

from otp_gateway.errors.base import GatewayError

# The reason of a send that was not tried, because the provider has timed out several times in a row.
SKIPPED = "skipped"
# Kavenegar's codes have three digits. A larger number is no label, so that the labels stay few.
LARGEST_CODE = 999


class StoreUnavailable(GatewayError):
    """Redis did not reply in time, or replied with an error. The command has no effect at a later time.

    ``reason`` is a short label for logs: ``unreachable``, ``timeout``, ``late``, ``out_of_memory``, …
    """

    code = "store_unavailable"
    meaning = (
        "Redis could not be reached in time, or answered with an error. Nothing of the request runs later."
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
    ``backend``: the backend that failed; ``message_id``: the provider's id of a message that it then did not
    send. Both are empty if they are not known. ``attempts``: the messages that may have gone out.
    """

    detail = "Failed to send OTP"
    definite: ClassVar[bool]
    backend: str = ""
    message_id: str = ""
    attempts: int = 0

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
    meaning = "The message was definitely not sent."
    definite = True


class SmsUnconfirmed(SendFailed):
    """The message may have been sent. The provider's reply is missing or has no known meaning."""

    code = "sms_unconfirmed"
    meaning = "The message may have been sent: the provider's reply did not come, or is not clear."
    definite = False
