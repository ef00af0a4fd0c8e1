"""The production checklist: it finds faults before they become incidents."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks import cost, gate, message, networks, proxies, redis, sms_backend
from otp_gateway.checks import settings as settings_checks
from otp_gateway.checks.finding import Finding, fault, within
from otp_gateway.checks.site import Site
from otp_gateway.gateway import Gateway
from otp_gateway.settings import SettingsError

__all__ = ["Finding", "Site", "run", "unreadable"]

# Seconds for each part. If a part does not end, the next one runs all the same.
PROVIDER_SECONDS = 5.5
REDIS_SECONDS = 4.0
OUTSIDE_SECONDS = 5.0


def run(gateway: Gateway, site: Site | None) -> Iterator[Finding]:
    """Run all checks, and yield each finding as it is made. ``site``: the public URL, if it is known.

    The checks change no data and send no SMS. No message holds a secret.
    """
    settings = gateway.settings
    yield from settings_checks.look(settings)
    yield from message.look(settings)
    yield from within(PROVIDER_SECONDS, "sms", sms_backend.look(settings, gateway.reports))
    yield from within(REDIS_SECONDS, "redis", redis.look(settings, gateway.redis))
    yield from within(REDIS_SECONDS, "networks", networks.look(settings, gateway.records.usage))
    yield from within(REDIS_SECONDS, "cost", cost.look(settings, gateway.records.usage))
    yield from within(REDIS_SECONDS, "gate", gate.look(settings, gateway.records.gate))
    yield from within(OUTSIDE_SECONDS, "https", proxies.look(settings, gateway.codes, site))


def unreadable(error: SettingsError) -> Iterator[Finding]:
    """The findings about invalid settings. No other check can run with these."""
    for name, texts in sorted(error.faults.items()):
        for text in texts:
            yield fault("settings", f"{name}: {text}")
