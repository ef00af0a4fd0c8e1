"""The settings by themselves, without a call to any server."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from otp_gateway.checks.finding import Finding, fault, ok, warning
from otp_gateway.settings import Settings
from otp_gateway.settings.parsers import NEW_SECRET
from otp_gateway.settings.rules import misspelt_text

# A random secret of 32 characters has more different characters than this, even if it has only decimal
# digits.
FEW_CHARACTERS = 5
# The guess probability of the default settings.
USUAL_PROBABILITY = Decimal("1e-4")
SHORT_TOKEN = 16
LONG_ACCESS = 3600
# If a send takes longer (in s), a router with a limit of 30 s can give up before the gateway answers.
LONG_SEND = 20.0


def look(settings: Settings) -> Iterator[Finding]:
    """Check secret, guess probability, destinations, tokens, panel and metrics."""
    yield _secret(settings)
    yield _probability(settings)
    yield _destinations(settings)
    yield _tokens(settings)
    yield _panel(settings)
    yield _metrics(settings)
    yield _timeout(settings)
    for name, meant in settings.misspelt:
        yield warning("variables", misspelt_text(name, meant))


def _timeout(settings: Settings) -> Finding:
    seconds = settings.sms_timeout
    if seconds > LONG_SEND:
        return warning(
            "sms_timeout",
            f"SMS_TIMEOUT={seconds:g}: some routers give up after 30 s; set {LONG_SEND:g} or less",
        )
    return ok("sms_timeout", f"a send ends within {seconds:g} s")


def _secret(settings: Settings) -> Finding:
    secret = settings.secret_key
    if len(set(secret)) <= FEW_CHARACTERS or _repeats(secret):
        return fault("secret_key", f"SECRET_KEY can be guessed, it repeats itself; {NEW_SECRET}")
    if settings.embedded:
        return warning("secret_key", "without REDIS_URL, one is made at every start unless SECRET_KEY is set")
    former = len(settings.secret_key_fallbacks)
    more = f"; {former} former accepted: take them out after JWT_REFRESH_TTL" if former else ""
    return ok("secret_key", f"SECRET_KEY has {len(secret)} characters{more}")


def _repeats(text: str) -> bool:
    """Whether the text repeats a shorter text."""
    return any(text.startswith(text[period:]) for period in range(1, len(text) // 2 + 1))


def _probability(settings: Settings) -> Finding:
    probability = settings.guess_probability
    words = f"at most {probability:f} per phone in any 24 h"
    if probability > USUAL_PROBABILITY:
        return warning(
            "guess_probability", f"{words}: lengthen OTP_LENGTH or lower OTP_MAX_FAILURES_PER_PHONE"
        )
    return ok("guess_probability", words)


def _destinations(settings: Settings) -> Finding:
    if "*" in settings.otp_regions:
        return warning(
            "destinations",
            "OTP_REGIONS=* lets every client send SMS to any country, at your cost: name your regions",
        )
    return ok("destinations", f"phones of {', '.join(settings.otp_regions)}")


def _tokens(settings: Settings) -> Finding:
    ttl = settings.jwt_access_ttl
    if ttl > LONG_ACCESS:
        return warning("tokens", f"JWT_ACCESS_TTL={ttl}: nothing ends an access token sooner; 900 is usual")
    return ok("tokens", f"{settings.jwt_algorithm}, access {ttl} s, refresh {settings.jwt_refresh_ttl} s")


def _panel(settings: Settings) -> Finding:
    if not settings.operators:
        return ok("admin_panel", "off; ADMIN_PASSWORD_HASH or ADMIN_USERS turns it on")
    if settings.admin_reveal_codes:
        return warning(
            "admin_panel",
            "ADMIN_REVEAL_CODES shows active codes to all who have the password: unset it if not needed",
        )
    if not settings.trusted_proxies:
        return warning("admin_panel", "its cookie is not Secure: set TRUSTED_PROXIES behind your TLS proxy")
    return ok("admin_panel", "on")


def _metrics(settings: Settings) -> Finding:
    token = settings.metrics_token
    if token is None:
        return ok("metrics", "/metrics for scrapers on the same machine; METRICS_TOKEN opens it to others")
    if len(token) < SHORT_TOKEN:
        return warning("metrics", f"METRICS_TOKEN has fewer than {SHORT_TOKEN} characters: make a longer one")
    return ok("metrics", "/metrics for bearers of METRICS_TOKEN")
