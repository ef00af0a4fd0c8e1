"""Rules over several settings: contradictions, the guess probability, warnings at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otp_gateway.settings import test_numbers
from otp_gateway.settings.parsers import NEW_SECRET
from otp_gateway.settings.redis_url import uses_tls
from otp_gateway.signing import ASYMMETRIC, algorithm_of
from otp_gateway.sms_backends import SMS_BACKENDS
from otp_gateway.sms_http import HttpTemplate

if TYPE_CHECKING:
    from otp_gateway.settings import Settings

# The longest message that Kavenegar accepts.
MAX_MESSAGE = 900


def guess_probability(failures: int, length: int) -> Decimal:
    """2 x failures / 10^length. A budget's period has fixed limits, so any 24 h can touch two periods."""
    return Decimal(2 * failures) / Decimal(10) ** length


def warnings(settings: Settings) -> list[str]:
    """The warnings that are logged at every start."""
    found = []
    if settings.embedded:
        found.append("REDIS_URL is not set: all state lives in this one process and ends with it")
    if settings.otp_login_redirect and not settings.auth_cookies:
        found.append("OTP_LOGIN_REDIRECT without AUTH_COOKIES: the tokens stay behind in the login page")
    if settings.otp_device_days and not settings.policy.has_devices:
        failures = settings.otp_max_failures_per_phone
        found.append(f"OTP_MAX_FAILURES_PER_PHONE={failures} leaves none for devices: no device tokens")
    if any(window.limit * 70 < 100 for window in settings.otp_send_budget):
        found.append("OTP_SEND_BUDGET: 70 % of a limit is less than one send, so only devices can sign in")
    for name in settings.sms_backend:
        no_delivery = SMS_BACKENDS[name].no_delivery
        if no_delivery and not settings.embedded:
            found.append(f"SMS_BACKEND={name} {no_delivery.at_start}")
    if settings.otp_test_numbers:
        numbers, last = len(settings.otp_test_numbers), settings.otp_test_numbers_until
        found.append(f"OTP_TEST_NUMBERS: {numbers} number(s) with a fixed code sign in until {last}")
    if uses_tls(settings.redis_url) and settings.redis_tls_verify == "none":
        found.append("REDIS_TLS_VERIFY=none: connections are encrypted, but Redis is not identified")
    return found + [misspelt_text(*each) for each in settings.misspelt]


def misspelt_text(name: str, meant: str | None) -> str:
    """The warning about a variable that the gateway does not read."""
    return f"{name} is no variable of the gateway" + (f": did you mean {meant}?" if meant else "")


def contradictions(values: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The faults between variables that are valid by themselves. An invalid variable (None) is skipped."""
    if "REDIS_URL" in variables and "SECRET_KEY" not in variables:
        yield "SECRET_KEY", f"required when REDIS_URL is set; {NEW_SECRET}"
    yield from _tls_faults(values, variables)
    length, failures = values["otp_length"], values["otp_max_failures_per_phone"]
    highest = values["otp_max_guess_probability"]
    if None not in (length, failures, highest):
        probability = guess_probability(failures, length)
        if probability > highest:
            yield (
                "OTP_MAX_GUESS_PROBABILITY",
                (
                    f"OTP_LENGTH={length} with OTP_MAX_FAILURES_PER_PHONE={failures} gives a guess "
                    f"probability of {probability:f} a day, above the {highest:f} allowed; "
                    "lengthen the code, lower the failure budget, or raise this limit knowingly"
                ),
            )
    access, refresh = values["jwt_access_ttl"], values["jwt_refresh_ttl"]
    if None not in (access, refresh) and access > refresh:
        yield (
            "JWT_ACCESS_TTL",
            "an access token cannot be valid for longer than its session (JWT_REFRESH_TTL)",
        )
    if values["auth_cookies"] and values["cors_origins"]:
        yield (
            "CORS_ORIGINS",
            "contradicts AUTH_COOKIES: other origins get tokens in the body, or nothing",
        )
    if values["jwt_audience"] == f"{values['jwt_issuer']}/refresh":
        yield "JWT_AUDIENCE", "is reserved for refresh tokens: choose another than issuer/refresh"
    yield from _message_faults(values)
    yield from _http_faults(values)
    yield from test_numbers.faults(values)
    yield from _key_faults(values)


def _tls_faults(values: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if values["redis_url"] is None or uses_tls(values["redis_url"]):
        return
    for name in ("REDIS_TLS_CA", "REDIS_TLS_VERIFY"):
        if name in variables:
            yield name, "needs a REDIS_URL with TLS: rediss://, or ?ssl=true for sentinel and cluster"


def _message_faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    length = values["otp_length"]
    domain, app_hash = values["otp_web_domain"], values["otp_app_hash"]
    for name in ("otp_message", "otp_message_fa", "otp_message_en"):
        message = values[name]
        if None not in (length, message):
            # A message ends with at most one of the two lines: the app's hash or the domain with the code.
            web_line = len(f"\n\n@{domain} #") + length if domain else 0
            app_line = len(f"\n{app_hash}") if app_hash else 0
            longest = len(message) - len("{code}") + length + max(web_line, app_line)
            if longest > MAX_MESSAGE:
                yield name.upper(), f"makes messages of {longest} characters, above Kavenegar's {MAX_MESSAGE}"


def _http_faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    url, fields = values["sms_http_url"], values["sms_http_headers"]
    if url is not None and fields is not None and values["sms_http_method"] is not None:
        yield from HttpTemplate(url, values["sms_http_method"], fields, values["sms_http_body"]).faults()
        if values["sms_http_secret"] and not values["sms_http_body"]:
            yield "SMS_HTTP_SECRET", "needs a body: only the body is signed, not the URL"


def _key_faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    algorithm, key = values["jwt_algorithm"], values["jwt_private_key"]
    if algorithm in ASYMMETRIC and key is None:
        yield "JWT_PRIVATE_KEY", f"required for JWT_ALGORITHM={algorithm}: a PEM text or a file's path"
    elif key is not None and algorithm not in (None, algorithm_of(key.public_key())):
        yield "JWT_PRIVATE_KEY", f"is a key for {algorithm_of(key.public_key())}, not for {algorithm}"
