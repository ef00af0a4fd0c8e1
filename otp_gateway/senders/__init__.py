"""How a code reaches a phone: the sender of each backend."""

from __future__ import annotations

from collections.abc import Callable

from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.console import ConsoleSender
from otp_gateway.senders.failover import Failover
from otp_gateway.senders.http import HttpSender
from otp_gateway.senders.kavenegar.sender import KavenegarSender
from otp_gateway.senders.protocol import Sender
from otp_gateway.settings import Settings

__all__ = ["BACKENDS", "Sender", "backends_for"]

# The names are those of otp_gateway.sms_backends.SMS_BACKENDS, which holds the facts about each backend.
BACKENDS: dict[str, Callable[[Settings, Observer], Sender]] = {
    "kavenegar": KavenegarSender.from_settings,
    "http": HttpSender.from_settings,
    "console": ConsoleSender.from_settings,
}


def backends_for(
    settings: Settings, observer: Observer = UNOBSERVED, sender: Sender | None = None
) -> Failover:
    """The senders of the backends that ``SMS_BACKEND`` names, in its order; or only the given one."""
    senders = {name: BACKENDS[name](settings, observer) for name in settings.sms_backend}
    return Failover({"given": sender} if sender else senders, settings.sms_timeout, observer)
