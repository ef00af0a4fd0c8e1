"""The SMS backend: whether it delivers messages, and whether the variables that it needs are set."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks import kavenegar
from otp_gateway.checks.finding import Finding, fault, warning
from otp_gateway.errors import SendFailed
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.senders.kavenegar.sender import NAME as KAVENEGAR
from otp_gateway.settings import Settings
from otp_gateway.sms_backends import SMS_BACKENDS


def look(settings: Settings, reports: KavenegarReports | None) -> Iterator[Finding]:
    """The findings of each backend. ``reports`` is None if no message goes through Kavenegar."""
    for name in settings.sms_backend:
        yield from _look(name, settings, reports)


def _look(name: str, settings: Settings, reports: KavenegarReports | None) -> Iterator[Finding]:
    no_delivery = SMS_BACKENDS[name].no_delivery
    if no_delivery is not None:
        yield fault("sms", f"SMS_BACKEND={name} {no_delivery.in_check}")
        return
    unset = _unset(settings, name)
    if unset:
        others = len(settings.sms_backend) > 1
        effect = f"the backend {name} is left out" if others else "every send is answered 503"
        yield fault("sms", f"{', '.join(unset)} is not set: {effect}")
        return
    if name == KAVENEGAR and reports is not None:
        yield from kavenegar.look(settings, reports)
        return
    yield warning("sms", f"SMS_BACKEND={name} is not checked: prove it with: flask otp send NUMBER")


def unset_variables(settings: Settings) -> list[str]:
    """The variables that the backends need and that are not set."""
    return [variable for name in settings.sms_backend for variable in _unset(settings, name)]


def _unset(settings: Settings, name: str) -> list[str]:
    return [each for each in SMS_BACKENDS[name].required if not getattr(settings, each.lower())]


def explain(error: SendFailed) -> str:
    """The meaning of the backend's failure, and advice."""
    if error.backend in ("", KAVENEGAR):
        return kavenegar.explain(error)
    if error.provider_code is not None:
        return f"The provider of SMS_HTTP_URL answers {error.label}: look at SMS_HTTP_* and at its document"
    return {
        "unreachable": "The provider cannot be reached: look at SMS_HTTP_URL, DNS and the firewall",
        "tls": "The provider's certificate is not accepted: look at SMS_HTTP_URL and the system's clock",
        "timeout": "The provider does not answer in time: try again, then look at the network",
    }.get(error.reason, f"The provider's reply is not understood ({error.reason}): look at SMS_HTTP_SENT")
