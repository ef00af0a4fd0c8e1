"""The message that a sender delivers, the receipt of the provider, and the codes of test numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from otp_gateway.model import Channel, Language, PhoneNumber


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A code that is sent to a phone.

    ``reference`` identifies the send at the provider (62 bits): a repeat with the same reference is delivered
    only once. ``language`` chooses the text. ``android``: an app with SMS Retriever waits for the message.
    """

    phone: PhoneNumber
    code: str
    channel: Channel
    reference: int
    language: Language | None = None
    android: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's answer to a message that it has accepted.

    ``backend``: the name of the backend that has sent the message. ``cost`` is in Rial, 0 if it is not known.
    ``message_id``: the provider's id of the message, empty if there is no id. ``attempts``: the messages that
    may have gone out, this one included.
    """

    backend: str
    cost: int = 0
    message_id: str = ""
    attempts: int = 1


@dataclass(frozen=True, slots=True, repr=False)
class FixedCodes:
    """Test numbers in E.164 with their codes. From ``ends_ms`` (Redis's time) on, they are ordinary."""

    codes: Mapping[str, str]
    ends_ms: int

    def code_of(self, phone: PhoneNumber, at_ms: int) -> str | None:
        """The phone's code at this time; None for an ordinary number."""
        return self.codes.get(phone.e164) if at_ms < self.ends_ms else None


NO_FIXED_CODES = FixedCodes({}, 0)
