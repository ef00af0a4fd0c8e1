"""The senders, which deliver codes to phones: one for each backend."""

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

# otp_gateway.sms_backends.SMS_BACKENDS has the same names, with the facts about each backend.
BACKENDS: dict[str, Callable[[Settings, Observer], Sender]] = {
    "kavenegar": KavenegarSender.from_settings,
    "http": HttpSender.from_settings,
    "console": ConsoleSender.from_settings,
}


def backends_for(
    settings: Settings, observer: Observer = UNOBSERVED, sender: Sender | None = None
) -> Failover:
    """The senders of the backends in ``SMS_BACKEND``, in the same order; or only the given sender."""
    senders = {name: BACKENDS[name](settings, observer) for name in settings.sms_backend}
    return Failover({"given": sender} if sender else senders, settings.sms_timeout, observer)
