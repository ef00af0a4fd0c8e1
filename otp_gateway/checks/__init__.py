"""The production checklist: what an operator would otherwise find out at night."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks import proxies, redis, sms_backend
from otp_gateway.checks import settings as settings_checks
from otp_gateway.checks.finding import Finding, fault, within
from otp_gateway.checks.site import Site
from otp_gateway.gateway import Gateway
from otp_gateway.settings import SettingsError

__all__ = ["Finding", "Site", "run", "unreadable"]

# Seconds for each part, whatever hangs.
PROVIDER_SECONDS = 5.5
REDIS_SECONDS = 4.0
OUTSIDE_SECONDS = 5.0


def run(gateway: Gateway, site: Site | None) -> Iterator[Finding]:
    """Every check's findings, as they are made; ``site``: the gateway's public address, where it is known.

    Nothing is changed and no SMS is sent. None of the messages holds a secret.
    """
    settings = gateway.settings
    yield from settings_checks.look(settings)
    yield from within(PROVIDER_SECONDS, "sms", sms_backend.look(settings, gateway.reports))
    yield from within(REDIS_SECONDS, "redis", redis.look(settings, gateway.redis))
    yield from within(OUTSIDE_SECONDS, "https", proxies.look(settings, gateway.codes, site))


def unreadable(error: SettingsError) -> Iterator[Finding]:
    """The findings where the settings themselves are wrong, so that nothing else can be looked at."""
    for name, texts in sorted(error.faults.items()):
        for text in texts:
            yield fault("settings", f"{name}: {text}")
