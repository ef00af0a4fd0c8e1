"""How a code reaches a phone: the Sender protocol, and the backends by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from otp_gateway.model import Channel, PhoneNumber
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

    def send(self, phone: PhoneNumber, code: str, channel: Channel, reference: int) -> None:
        """Deliver the code, within ``SMS_TIMEOUT``.

        ``reference`` names the send to the provider (62 bits): a repeat under it delivers nothing twice.
        Raises ``SmsFailed`` where surely nothing was sent, ``SmsUnconfirmed`` where something may have been.
        """
        ...


BACKENDS: dict[str, Callable[[Settings, Observer], Sender]] = {
    "kavenegar": KavenegarSender.from_settings,
    "console": ConsoleSender.from_settings,
}


def sender_for(settings: Settings, observer: Observer = UNOBSERVED) -> Sender:
    """The backend that ``SMS_BACKEND`` names."""
    return BACKENDS[settings.sms_backend](settings, observer)
