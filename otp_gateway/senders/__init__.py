"""How a code reaches a phone: the Sender protocol, and the sender of each backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from otp_gateway.model import Channel, PhoneNumber, Receipt
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.console import ConsoleSender
from otp_gateway.senders.kavenegar.sender import KavenegarSender
from otp_gateway.settings import Settings


class Sender(Protocol):
    """Delivers codes."""

    @property
    def configured(self) -> bool:
        """Whether a send can work at all."""
        ...

    def send(self, phone: PhoneNumber, code: str, channel: Channel, reference: int) -> Receipt | None:
        """Deliver the code, within ``SMS_TIMEOUT``. The receipt is None if the sender knows nothing about it.

        ``reference`` identifies the send at the provider (62 bits): a repeat with it delivers nothing twice.
        Raises ``SmsFailed`` if the message was definitely not sent, ``SmsUnconfirmed`` if it may have been.
        """
        ...


# The names are those of otp_gateway.sms_backends.SMS_BACKENDS, which holds the facts about each backend.
BACKENDS: dict[str, Callable[[Settings, Observer], Sender]] = {
    "kavenegar": KavenegarSender.from_settings,
    "console": ConsoleSender.from_settings,
}


def sender_for(settings: Settings, observer: Observer = UNOBSERVED) -> Sender:
    """The sender of the backend that ``SMS_BACKEND`` names."""
    return BACKENDS[settings.sms_backend](settings, observer)
