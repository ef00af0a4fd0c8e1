"""The SMS backend: whether it delivers messages, and whether the variables that it needs are set."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks import kavenegar
from otp_gateway.checks.finding import Finding, fault, warning
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.settings import Settings
from otp_gateway.sms_backends import SMS_BACKENDS


def look(settings: Settings, reports: KavenegarReports | None) -> Iterator[Finding]:
    """The backend's findings. ``reports`` is None if messages do not go through Kavenegar."""
    name = settings.sms_backend
    no_delivery = SMS_BACKENDS[name].no_delivery
    if no_delivery is not None:
        yield fault("sms", f"SMS_BACKEND={name} {no_delivery.in_check}")
        return
    unset = unset_variables(settings)
    if unset:
        yield fault("sms", f"{', '.join(unset)} is not set: every send is answered 503")
        return
    if reports is None:
        yield warning("sms", f"SMS_BACKEND={name} is not checked: prove it with: flask otp send NUMBER")
        return
    yield from kavenegar.look(settings, reports)


def unset_variables(settings: Settings) -> list[str]:
    """The variables that the backend needs and that are not set."""
    required = SMS_BACKENDS[settings.sms_backend].required
    return [name for name in required if not getattr(settings, name.lower())]
