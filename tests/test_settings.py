"""The settings: defaults, what is accepted and refused, and a gateway that refuses to start."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from otp_gateway.model import Window
from otp_gateway.settings import Settings, SettingsError, variables
from otp_gateway.settings.cores import workers
from otp_gateway.settings.declaration import declared
from otp_gateway.settings.operators import Operator
from otp_gateway.sms_http import SentRule
from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT, run_to_exit
from tests.support.searches import examples

FIELDS = tuple(field.name for field in dataclasses.fields(variables.Variables))
NAMES = tuple(name.upper() for name in FIELDS)
# tests/sessions/test_keys.py tests the settings that sign tokens: these three only make sense together.
KEYS = {"JWT_ALGORITHM", "JWT_PRIVATE_KEY", "JWT_FORMER_PUBLIC_KEYS"}
# So do these; tests/senders/test_fixed_codes.py has them.
TEST_NUMBERS = {"OTP_TEST_NUMBERS", "OTP_TEST_NUMBERS_UNTIL"}
EXAMPLE = ROOT / ".env.example"
LOGO = ROOT / "otp_gateway" / "pages" / "static" / "icon.svg"
SECRET_WORD = "hunter2-is-the-password"
# Hashes as `flask otp hash-password` makes them, and of the other kind that werkzeug reads.
HASH = "scrypt:32768:8:1$c2FsdHNhbHQ$" + "0f" * 64
ROUNDS = "pbkdf2:sha256:600000$c2FsdHNhbHQ$" + "0f" * 32

DEFAULTS: dict[str, object] = {
    "secret_key_fallbacks": (),
    "redis_url": None,
    "redis_tls_ca": None,
    "redis_tls_verify": "full",
    "kavenegar_api_key": None,
    "kavenegar_sender": "10008663",
    "kavenegar_template": None,
    "kavenegar_base_url": "https://api.kavenegar.com",
    "kavenegar_min_credit": 500_000,
    "sms_backend": ("kavenegar",),
    "sms_http_url": None,
    "sms_http_method": "POST",
    "sms_http_headers": {},
    "sms_http_body": "",
    "sms_http_sent": SentRule(),
    "sms_http_secret": None,
    "sms_timeout": 10.0,
    "otp_length": 6,
    "otp_expiry_time": 300,
    "otp_max_attempts": 3,
    "otp_phone_limits": (Window(3, 120), Window(10, 3600), Window(20, 86_400)),
    "otp_ip_limits": (Window(5, 60),),
    "token_ip_limits": (Window(60, 60),),
    "otp_max_failures_per_client": 10,
    "otp_max_failures_per_phone": 50,
    "otp_device_days": 90,
    "otp_max_guess_probability": Decimal("0.0001"),
    "otp_gate": "observe",
    "otp_gate_credit": 60,
    "otp_send_budget": (),
    "otp_regions": ("IR",),
    "otp_message": "کد تایید شما: {code}",
    "otp_message_fa": None,
    "otp_message_en": None,
    "otp_web_domain": None,
    "otp_app_hash": None,
    "otp_test_numbers": {},
    "otp_test_numbers_until": None,
    "jwt_algorithm": "HS256",
    "jwt_private_key": None,
    "jwt_former_public_keys": (),
    "jwt_issuer": "otp-gateway",
    "jwt_audience": "otp-gateway",
    "jwt_access_ttl": 900,
    "jwt_refresh_ttl": 2_592_000,
    "auth_cookies": False,
    "cors_origins": (),
    "admin_password_hash": None,
    "otp_login_redirect": (),
    "otp_language": None,
    "brand_name": None,
    "brand_logo": None,
    "brand_color": None,
    "brand_terms": None,
    "metrics_token": None,
    "metrics_dir": None,
    "sentry_dsn": None,
    "log_level": "INFO",
    "trusted_proxies": 0,
    "admin_users": (),
    "admin_timezone": None,
    "admin_reveal_codes": False,
    "port": 8000,
    "web_concurrency": workers(),
}

# The value of the field for a text. The first text of each variable differs from its default.
ACCEPTED: dict[str, dict[str, object]] = {
    "REDIS_TLS_CA": {"/etc/passwd": "/etc/passwd"},
    "REDIS_TLS_VERIFY": {word: word for word in ("none", "ca", "full")},
    "SECRET_KEY": {"k" * 32: "k" * 32},
    "SECRET_KEY_FALLBACKS": {
        "a" * 32: ("a" * 32,),
        f"{'a' * 32}, {'b' * 40}": ("a" * 32, "b" * 40),
    },
    "REDIS_URL": {
        url: url
        for url in (
            "redis://localhost",
            "redis://:password@localhost:6379/1",
            "redis://[::1]:6379",
            "rediss://user:password@example.com:6380/0",
            "unix:///run/redis.sock",
            "redis+sentinel://h1:26379,h2:26379/mymaster",
            "redis+sentinel://:password@h1,h2/mymaster?db=1",
            "redis+cluster://h1:6379,h2:6379",
            "rediss://h1/0?ssl_ca_certs=/etc/passwd",
            "redis+cluster://h1,h2?ssl=true&ssl_ca_certs=/etc/passwd",
        )
    },
    "KAVENEGAR_API_KEY": {"4B5A6C7D": "4B5A6C7D"},
    "KAVENEGAR_SENDER": {"10004346": "10004346", "": ""},
    "KAVENEGAR_TEMPLATE": {"login": "login"},
    "KAVENEGAR_BASE_URL": {
        "http://127.0.0.1:8080/": "http://127.0.0.1:8080",
        "https://proxy.example.com/kavenegar": "https://proxy.example.com/kavenegar",
    },
    "KAVENEGAR_MIN_CREDIT": {"0": 0, "1500000": 1_500_000},
    "SMS_BACKEND": {
        "console": ("console",),
        "kavenegar": ("kavenegar",),
        "kavenegar, http": ("kavenegar", "http"),
    },
    "SMS_HTTP_URL": {
        "https://sms.example.com/send?to={phone}&text={message}": (
            "https://sms.example.com/send?to={phone}&text={message}"
        )
    },
    "SMS_HTTP_METHOD": {"GET": "GET"},
    "SMS_HTTP_HEADERS": {'{"Authorization": "Bearer KEY"}': {"Authorization": "Bearer KEY"}},
    "SMS_HTTP_BODY": {"to={phone}&text={message}": "to={phone}&text={message}"},
    "SMS_HTTP_SENT": {
        "status=1": SentRule(("status",), "1"),
        "2xx": SentRule(),
        "return.status=200": SentRule(("return", "status"), "200"),
    },
    "SMS_HTTP_SECRET": {"whsec_" + "QUFB" * 8: b"A" * 24},
    "SMS_TIMEOUT": {"2.5": 2.5, "30": 30.0},
    "OTP_LENGTH": {"7": 7, "10": 10},
    "OTP_EXPIRY_TIME": {"120": 120, "600": 600},
    "OTP_MAX_ATTEMPTS": {"5": 5, "1": 1},
    "OTP_PHONE_LIMITS": {
        "1/minute": (Window(1, 60),),
        "10/hour;3/2minute": (Window(3, 120), Window(10, 3600)),
        "3 per 2 minute, 1 per day": (Window(3, 120), Window(1, 86_400)),
        "9/minute;3/minute;5/60second": (Window(3, 60),),
    },
    "OTP_IP_LIMITS": {"100/hour": (Window(100, 3600),), "1/second;2/day": (Window(1, 1), Window(2, 86_400))},
    "TOKEN_IP_LIMITS": {"100/hour": (Window(100, 3600),)},
    "OTP_MAX_FAILURES_PER_CLIENT": {"3": 3},
    "OTP_MAX_FAILURES_PER_PHONE": {"20": 20},
    "OTP_DEVICE_DAYS": {"0": 0, "400": 400},
    "OTP_GATE": {"on": "on", "off": "off", "observe": "observe"},
    "OTP_GATE_CREDIT": {"1": 1, "1000000": 1_000_000},
    "OTP_SEND_BUDGET": {"500/hour;5000/day": (Window(500, 3600), Window(5000, 86_400))},
    "OTP_MAX_GUESS_PROBABILITY": {"0.001": Decimal("0.001"), "1": Decimal(1)},
    "OTP_REGIONS": {"AF": ("AF",), " ir, de ": ("IR", "DE"), "*": ("*",)},
    "OTP_MESSAGE": {
        "Your code is {code}": "Your code is {code}",
        "{code}" + "x" * 894: "{code}" + "x" * 894,
        "Shop\\nCode: {code}\\n": "Shop\nCode: {code}\n",
        "Shop\nCode: {code}": "Shop\nCode: {code}",
        "Shop\r\nCode: {code}\r\n": "Shop\nCode: {code}\n",
        "Shop\\r\\nCode: {code}": "Shop\nCode: {code}",
        "A\\\\B {code}": "A\\B {code}",
        "A\\\\nB {code}": "A\\nB {code}",
        "A\\\\\\nB {code}": "A\\\nB {code}",
        "A\\tB {code}\\": "A\\tB {code}\\",
        '"Shop": {code}': '"Shop": {code}',
        "'{code}' is your code": "'{code}' is your code",
        "«کد: {code}»": "«کد: {code}»",
        "{code} :-} 100%": "{code} :-} 100%",
        "$1 %s {code}": "$1 %s {code}",
        "\\n" * 20 + "{code}" + "x" * 874: "\n" * 20 + "{code}" + "x" * 874,
    },
    "OTP_MESSAGE_FA": {"کد {code}": "کد {code}"},
    "OTP_MESSAGE_EN": {"Code {code}": "Code {code}"},
    "OTP_APP_HASH": {"FA+9qCX9VSu": "FA+9qCX9VSu"},
    "OTP_WEB_DOMAIN": {"example.com": "example.com", "login.example.co.uk": "login.example.co.uk"},
    "JWT_ISSUER": {"https://id.example.com": "https://id.example.com"},
    "JWT_AUDIENCE": {"shop": "shop"},
    "JWT_ACCESS_TTL": {"60": 60},
    "JWT_REFRESH_TTL": {"86400": 86_400},
    "AUTH_COOKIES": {"true": True, "1": True, "off": False},
    "ADMIN_PASSWORD_HASH": {HASH: HASH, ROUNDS: ROUNDS},
    "ADMIN_USERS": {
        f"sara:{HASH}": (Operator("sara", HASH),),
        f" sara:{HASH} , علی:{HASH},": (Operator("sara", HASH), Operator("علی", HASH)),
    },
    "ADMIN_TIMEZONE": {"UTC": ZoneInfo("UTC"), "Asia/Tehran": ZoneInfo("Asia/Tehran")},
    "ADMIN_REVEAL_CODES": {"true": True, "1": True, "off": False},
    "CORS_ORIGINS": {
        "https://app.example.com": ("https://app.example.com",),
        "https://a.example, http://localhost:3000": ("https://a.example", "http://localhost:3000"),
    },
    "OTP_LOGIN_REDIRECT": {
        "https://app.example.com/home": ("https://app.example.com/home",),
        "https://a.example/?x=1, http://localhost:3000": ("https://a.example/?x=1", "http://localhost:3000"),
    },
    "OTP_LANGUAGE": {"fa": "fa", "en": "en"},
    "BRAND_NAME": {"Shop": "Shop", " دیجی‌شاپ ": "دیجی‌شاپ", "n" * 40: "n" * 40},
    "BRAND_LOGO": {str(LOGO): LOGO},
    "BRAND_COLOR": {"#0A7D4F": "#0a7d4f", "#fc0": "#ffcc00"},
    "BRAND_TERMS": {"https://example.com/terms?x=1": "https://example.com/terms?x=1"},
    "METRICS_TOKEN": {"a-token": "a-token"},
    "METRICS_DIR": {"/run/otp": Path("/run/otp")},
    "SENTRY_DSN": {
        dsn: dsn for dsn in ("https://key@sentry.example.com/1", "http://key@[::1]:9000/under/a/path/42")
    },
    "LOG_LEVEL": {"DEBUG": "DEBUG", "warning": "WARNING"},
    "TRUSTED_PROXIES": {"1": 1, "2": 2},
    "PORT": {"5000": 5000, "65535": 65_535},
    "WEB_CONCURRENCY": {"33": 33, "1": 1},
}

REFUSED: dict[str, tuple[str, ...]] = {
    "REDIS_TLS_CA": ("/no/such/file", "/etc"),
    "REDIS_TLS_VERIFY": ("yes", "CERT_NONE"),
    "SECRET_KEY": ("short", "s" * 31, "s" * 40 + ",", " " * 40),
    "SECRET_KEY_FALLBACKS": ("short", f"{'a' * 32},short"),
    "REDIS_URL": (
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://localhost:port",
        "redis://localhost:99999",
        "redis://localhost?db=one",
        "redis://[::1",
        "unix://",
        "redis+sentinel://h1:26379",
        "redis+sentinel:///mymaster",
        "redis+sentinel://h1:port/mymaster",
        "redis+sentinel://h1,h2:99999/mymaster",
        "redis+sentinel://h1/mymaster?db=one",
        "redis+cluster://",
        "redis+cluster://h1:port",
        "redis://localhost?decode_responses=true",
        "redis://localhost?socket_timeout=20",
        "redis://user:pass#word@localhost",
        "REDIS://localhost",
    ),
    "KAVENEGAR_API_KEY": ("two words", "کلید", "line\nbreak"),
    "KAVENEGAR_SENDER": ("two words",),
    "KAVENEGAR_TEMPLATE": ("two words",),
    "KAVENEGAR_BASE_URL": (
        "api.kavenegar.com",
        "ftp://api.kavenegar.com",
        "https://",
        "https://h?key=1",
        "http://[::1",
        "http://h:99999",
        "http://h:port",
    ),
    "KAVENEGAR_MIN_CREDIT": ("-1", "much", "1.5"),
    "SMS_BACKEND": ("twilio", "kavenegar,", "http,http"),
    "SMS_HTTP_URL": (
        "sms.example.com",
        "ftp://sms.example.com",
        "https://sms.example.com/a b",
        "https://h#x",
    ),
    "SMS_HTTP_METHOD": ("DELETE", "post"),
    "SMS_HTTP_HEADERS": ("Authorization: KEY", "[]", '{"a": 1}'),
    "SMS_HTTP_SENT": ("ok", "status=", "=1", "a b=1"),
    "SMS_HTTP_SECRET": ("whsec_", "whsec_AAAA", "AAAA" * 8, "whsec_\u0660"),
    "OTP_MESSAGE_FA": ("no place",),
    "OTP_MESSAGE_EN": ("{code} {code}",),
    "OTP_APP_HASH": ("short", "FA+9qCX9VSu=", "FA 9qCX9VSu"),
    "SMS_TIMEOUT": ("0", "-1", "ten", "nan", "inf"),
    "OTP_LENGTH": ("3", "11", "six", "6.5", "-6"),
    "OTP_EXPIRY_TIME": ("0", "601", "-1", "5m"),
    "OTP_MAX_ATTEMPTS": ("0", "-1", "many"),
    "OTP_MAX_FAILURES_PER_CLIENT": ("0", "-1"),
    "OTP_MAX_FAILURES_PER_PHONE": ("0", "-1"),
    "OTP_DEVICE_DAYS": ("-1", "401", "1.5", "90d"),
    "OTP_GATE": ("On", "true", "yes"),
    "OTP_GATE_CREDIT": ("0", "-1", "1.5", "1000001"),
    "OTP_SEND_BUDGET": ("500", "0/hour", "3/0hour", "1000001/day", "1/2year"),
    "OTP_MAX_GUESS_PROBABILITY": ("0", "-1", "1.5", "small", "nan", "inf"),
    "OTP_REGIONS": ("XX", "IR,XX", "IRN", "98", ","),
    "OTP_MESSAGE": (
        "no code",
        "{code} {code}",
        "{code}" + "x" * 895,
        '"Your code: {code}"',
        "'Your code: {code}'",
        ' "Your code: {code}"\n',
        '"{code}"',
        "{{code}}",
        "{ {code} }",
        "Code: {{code}",
        "Code: {code}}",
        "{Code}",
        "{ code }",
        "{code} {link}",
        "{code} {0}",
        "{code} {}",
        "{a{code}b}",
        "{code} {\nx}",
        "{}",
    ),
    "OTP_WEB_DOMAIN": (
        "https://example.com",
        "example.com:443",
        "example.com/x",
        "-a.com",
        "a..b",
        "two words",
    ),
    "JWT_ACCESS_TTL": ("0", "-1", "15m", "2592001"),
    "JWT_REFRESH_TTL": ("0", "-1", "899"),
    "AUTH_COOKIES": ("perhaps",),
    "ADMIN_PASSWORD_HASH": (
        SECRET_WORD,
        f"scrypt:{SECRET_WORD}",
        f"md5$salt${'0' * 32}",
        f"sha256$salt${'0' * 64}",
        "scrypt:32768:8:1$",
        "$salt$hash",
        "$2b$12$" + "a" * 53,
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
        HASH.replace("$", ""),
        f"{HASH}$more",
        "scrypt:garbage$salt$hash",
        f"pbkdf2:sha256:0$salt${'0' * 64}",
    ),
    "ADMIN_USERS": (
        "sara",
        "sara:",
        f":{HASH}",
        f"{'x' * 33}:{HASH}",
        "sara:hunter2hunter2",
        f"sara:{HASH},SARA:{HASH}",
    ),
    "ADMIN_TIMEZONE": ("Tehran", "Asia/Nowhere", "../UTC", "/etc/passwd"),
    "ADMIN_REVEAL_CODES": ("perhaps",),
    "CORS_ORIGINS": (
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://*.example.com",
        "https://app.example.com:port",
        "https://user@app.example.com",
    ),
    "OTP_LOGIN_REDIRECT": ("/home", "javascript:alert(1)", "https://user@app.example.com", "https://h:port"),
    "OTP_LANGUAGE": ("de", "FA", "fa,en"),
    "BRAND_NAME": (" ", "n" * 41, "two\nlines", "a\u202eb"),
    "BRAND_LOGO": ("/no/such/logo.svg", "/etc", "/etc/passwd"),
    "BRAND_COLOR": ("green", "#12345", "0a7d4f", "#0a7d4f80", "#0a7d4f; color: red", "url(x)"),
    "BRAND_TERMS": (
        "/terms",
        "javascript:alert(1)",
        "https://a.example,https://b.example",
        "https://u@a.example",
    ),
    "METRICS_TOKEN": ("two words", "رمز"),
    "METRICS_DIR": ("run/otp", "./metrics"),
    "SENTRY_DSN": (
        "sentry.example.com",
        "https://sentry.example.com/1",
        "https://key@sentry.example.com",
        "https://key@sentry.example.com/project",
        "https://key@sentry.example.com/²",
        "ftp://key@sentry.example.com/1",
        "https://key@[::1",
    ),
    "LOG_LEVEL": ("LOUD",),
    "TRUSTED_PROXIES": ("-1", "all"),
    "PORT": ("0", "65536", "http"),
    "WEB_CONCURRENCY": ("0", "-1", "auto"),
}
TOO_MUCH = ("1/2 year", "1000001/minute", "1/100000000 year")
ZEROS = ("0/minute", "3/0minute", "3/2minute;0/hour", "3/2minute;10/0hour", "0 per 2 minute", "0/0day")
NO_LIMITS = ("often", "3/fortnight", "-3/minute", "3", "/minute", "3/minute;", ";")


def load(**variables: str) -> Settings:
    return Settings.load(variables, dotenv=None)


def faults_of(**variables: str) -> dict[str, list[str]]:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    faults = caught.value.faults
    text = str(caught.value)
    for name, words in faults.items():
        assert all(f"{name}: {word}" in text for word in words)
        assert all(len(word) > 10 for word in words)
    return faults


def test_a_message_is_measured_with_the_longer_last_line_that_it_can_have() -> None:
    # 900 characters, with a code of six digits.
    text = "{code}" + 894 * "x"
    assert load(OTP_MESSAGE=text).otp_message == text
    (fault,) = faults_of(OTP_MESSAGE=text, OTP_APP_HASH="A+/bcdefghi")["OTP_MESSAGE"]
    assert "messages of 912 characters" in fault
    (fault,) = faults_of(OTP_MESSAGE=text, OTP_APP_HASH="A+/bcdefghi", OTP_WEB_DOMAIN="a.example")[
        "OTP_MESSAGE"
    ]
    assert "messages of 920 characters" in fault


def pairs(table: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(name, text, id=f"{name}-{text[:24]}") for name, texts in table.items() for text in texts
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_every_default_is_the_contracts(name: str) -> None:
    if name == "secret_key":
        assert load().secret_key != load().secret_key, "random with the embedded store"
        assert len(load().secret_key) >= 32
    else:
        assert getattr(load(), name) == DEFAULTS[name]


def test_every_variable_is_in_the_tables_of_this_file() -> None:
    limits = {name for name in NAMES if name.endswith("_LIMITS")}
    alone = set(NAMES) - KEYS - TEST_NUMBERS
    assert alone == set(ACCEPTED)
    # Any text is accepted by itself; the templates are judged together (tests/senders/test_http_settings.py).
    any_text = {"JWT_ISSUER", "JWT_AUDIENCE", "SMS_HTTP_BODY"}
    assert alone - any_text - limits == set(REFUSED)


@pytest.mark.parametrize(("name", "text"), pairs(ACCEPTED))
def test_a_good_value_is_accepted(name: str, text: str) -> None:
    settings = load(**{"SECRET_KEY": SECRET_KEY, name: text})
    assert getattr(settings, name.lower()) == ACCEPTED[name][text]


@pytest.mark.parametrize("name", sorted(set(NAMES) - KEYS - TEST_NUMBERS))
def test_every_variable_is_read(name: str) -> None:
    text, value = next(iter(ACCEPTED[name].items()))
    assert getattr(load(SECRET_KEY=SECRET_KEY), name.lower()) != value
    assert getattr(load(**{"SECRET_KEY": SECRET_KEY, name: text}), name.lower()) == value


@pytest.mark.parametrize(("name", "text"), pairs(REFUSED))
def test_a_bad_value_is_refused_by_the_variables_name(name: str, text: str) -> None:
    faults = faults_of(**{"SECRET_KEY": SECRET_KEY, name: text})
    # If two lifetimes contradict each other, the error may name either.
    assert set(faults) in ({name}, {"JWT_ACCESS_TTL"})


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.endswith("_LIMITS")))
@pytest.mark.parametrize("text", [*ZEROS, *NO_LIMITS, *TOO_MUCH])
def test_a_limit_with_a_zero_anywhere_or_that_is_none_is_refused(name: str, text: str) -> None:
    assert set(faults_of(**{name: text})) == {name}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"KAVENEGAR_SENDER", "SECRET_KEY"}))
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    assert getattr(load(**{name: ""}), name.lower()) == DEFAULTS[name.lower()]


def test_an_empty_secret_counts_as_unset() -> None:
    assert len(load(SECRET_KEY="").secret_key) >= 32
    assert set(faults_of(SECRET_KEY="", REDIS_URL="redis://localhost")) == {"SECRET_KEY"}


@pytest.mark.parametrize("url", ["redis://localhost", "http://localhost"], ids=["good-url", "bad-url"])
def test_a_redis_url_requires_a_secret_key_and_the_message_makes_one(url: str) -> None:
    (text,) = faults_of(REDIS_URL=url).get("SECRET_KEY", [""])
    assert "REDIS_URL" in text
    assert "secrets.token_urlsafe" in text


def test_all_faults_are_listed_at_once() -> None:
    bad = {name: texts[0] for name, texts in REFUSED.items()} | {
        "OTP_PHONE_LIMITS": "0/minute",
        "OTP_IP_LIMITS": "0/minute",
    }
    assert set(faults_of(**bad)) == set(bad)


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_KEY": SECRET_WORD},
        {"KAVENEGAR_API_KEY": f"{SECRET_WORD} {SECRET_WORD}"},
        {"REDIS_URL": f"http://:{SECRET_WORD}@localhost"},
        {"REDIS_URL": f"redis://:{SECRET_WORD}@localhost:99999"},
        {"REDIS_URL": f"redis+sentinel://:{SECRET_WORD}@localhost"},
        {"REDIS_URL": f"redis://[:{SECRET_WORD}@"},
        {"REDIS_URL": f"redis://:{SECRET_WORD}@localhost"},
        {"KAVENEGAR_BASE_URL": f"ftp://user:{SECRET_WORD}@localhost"},
    ],
)
def test_a_message_repeats_no_secret(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    assert SECRET_WORD not in f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.faults}"


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_KEY": SECRET_WORD * 2},
        {"KAVENEGAR_API_KEY": SECRET_WORD},
        {"REDIS_URL": f"redis://:{SECRET_WORD}@localhost", "SECRET_KEY": SECRET_KEY},
        {"KAVENEGAR_BASE_URL": f"https://user:{SECRET_WORD}@localhost"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_the_repr_holds_no_secret(variables: dict[str, str]) -> None:
    assert SECRET_WORD not in f"{load(**variables)!r} {load(**variables)}"


@pytest.mark.parametrize(
    ("length", "failures", "highest"),
    [("6", "50", ""), ("5", "5", ""), ("7", "500", ""), ("4", "50", "0.01"), ("5", "50", "0.001")],
)
def test_a_guess_probability_up_to_the_limit_starts(length: str, failures: str, highest: str) -> None:
    settings = load(OTP_LENGTH=length, OTP_MAX_FAILURES_PER_PHONE=failures, OTP_MAX_GUESS_PROBABILITY=highest)
    assert settings.guess_probability == 2 * int(failures) / Decimal(10) ** int(length)
    assert settings.guess_probability <= settings.otp_max_guess_probability


@pytest.mark.parametrize(
    ("length", "failures", "highest"),
    [("6", "51", ""), ("5", "50", ""), ("4", "50", ""), ("5", "6", ""), ("6", "50", "0.00009")],
)
def test_a_guess_probability_above_the_limit_does_not_start(length: str, failures: str, highest: str) -> None:
    faults = faults_of(
        OTP_LENGTH=length, OTP_MAX_FAILURES_PER_PHONE=failures, OTP_MAX_GUESS_PROBABILITY=highest
    )
    assert set(faults) == {"OTP_MAX_GUESS_PROBABILITY"}
    assert f"OTP_LENGTH={length}" in faults["OTP_MAX_GUESS_PROBABILITY"][0]
    assert f"OTP_MAX_FAILURES_PER_PHONE={failures}" in faults["OTP_MAX_GUESS_PROBABILITY"][0]


def test_no_other_audience_may_be_that_of_refresh_tokens() -> None:
    assert set(faults_of(JWT_ISSUER="me", JWT_AUDIENCE="me/refresh")) == {"JWT_AUDIENCE"}


def test_a_file_that_is_no_text_is_a_fault_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"OTP_MESSAGE=\xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        Settings.load({}, dotenv=file)


def test_the_file_is_read_and_the_environment_outranks_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        '# a comment\nOTP_LENGTH=8\nOTP_MESSAGE="کد: {code}"\nJWT_ISSUER=file\n', encoding="utf-8"
    )
    settings = Settings.load({"JWT_ISSUER": "environment"}, dotenv=file)
    assert (settings.otp_length, settings.otp_message) == (8, "کد: {code}")
    assert settings.jwt_issuer == "environment"


def test_an_empty_variable_of_the_environment_leaves_the_files_value(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("OTP_LENGTH=8\n")
    assert Settings.load({"OTP_LENGTH": ""}, dotenv=file).otp_length == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"Your code: {code}"', ["in quotes", 'without the "']),
        ("'Your code: {code}'", ["in quotes", "without the '"]),
        ("{{code}}", ["more braces around {code}"]),
        ("{code} {link}", ["'{link}'", "only {code}"]),
        ("Code: {CODE}", ["'{CODE}'", "only {code}"]),
        ("Code", ["{code} exactly once"]),
        ("{code}{code}", ["{code} exactly once"]),
    ],
)
def test_a_message_that_would_show_quotes_or_braces_is_refused_with_the_reason(
    text: str, words: list[str]
) -> None:
    (fault,) = faults_of(OTP_MESSAGE=text)["OTP_MESSAGE"]
    assert all(word in fault for word in words), fault


@pytest.mark.parametrize("quote", ['"', "'", ""], ids=["double", "single", "no"])
@pytest.mark.parametrize(
    "text",
    [
        "کد تایید شما: {code}",
        "Shop\\nCode: {code}",
        "Shop\\r\\nCode: {code}\\n",
        "A\\\\B {code}",
        "A\\\\\\\\B {code}",
        "A\\sB {code}",
        "50% no#1: {code}",
        "{code} \\\\",
    ],
)
def test_a_message_is_the_same_from_the_file_and_from_the_environment(
    tmp_path: Path, text: str, quote: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"OTP_MESSAGE={quote}{text}{quote}\n", encoding="utf-8")
    in_file = Settings.load({}, dotenv=file).otp_message
    if "\\\\\\\\" in text and quote:
        # Quotes in the file remove one of two backslashes, and the gateway one of the two that remain.
        assert in_file == load(OTP_MESSAGE=text.replace("\\\\", "\\")).otp_message
    else:
        assert in_file == load(OTP_MESSAGE=text).otp_message


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_message_may_have_several_lines_in_the_file(tmp_path: Path, line_end: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(f'OTP_MESSAGE="Shop{line_end}Code: {{code}}"{line_end}OTP_LENGTH=8{line_end}'.encode())
    settings = Settings.load({}, dotenv=file)
    assert (settings.otp_message, settings.otp_length) == ("Shop\nCode: {code}", 8)


def test_the_message_of_the_example_file_is_the_default_and_its_help_names_the_escapes() -> None:
    assert Settings.load({}, dotenv=EXAMPLE).otp_message == DEFAULTS["otp_message"]
    (line,) = re.findall(r"^OTP_MESSAGE=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    # The line as `docker run --env-file` passes it to the process.
    assert "in quotes" in faults_of(OTP_MESSAGE=line)["OTP_MESSAGE"][0]
    assert r"\n is a line end" in EXAMPLE.read_text(encoding="utf-8")


@settings_of_hypothesis(max_examples=examples(300), deadline=None)
@given(text=st.lists(st.sampled_from([*"\\nr{}\"' x\r\n", "{code}"]), max_size=12).map("".join))
@example(text="\\")
@example(text="{code}\\")
def test_no_message_shows_a_brace_pair_or_outer_quotes_or_loses_its_code(text: str) -> None:
    if not text:
        return
    try:
        message = load(OTP_MESSAGE=text).otp_message
    except SettingsError:
        assert set(faults_of(OTP_MESSAGE=text)) == {"OTP_MESSAGE"}
        return
    shown = message.replace("{code}", "123456")
    assert message.count("{code}") == 1
    assert not re.search(r"\{[^{}]*\}", shown)
    assert "\r\n" not in shown
    assert not re.fullmatch(r"""\s*(["']).*\1\s*""", text, re.DOTALL)
    # Each character of the text is shown, except escapes and line ends.
    assert len(shown.replace("\r", "")) <= len(text)


def test_a_missing_file_is_no_fault(tmp_path: Path) -> None:
    assert Settings.load({}, dotenv=tmp_path / ".env").otp_length == 6


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().otp_length = 4  # type: ignore[misc]  # that is the test


@pytest.mark.parametrize(("failures", "days", "warned"), [("4", "90", 1), ("5", "90", 0), ("4", "0", 0)])
def test_a_budget_that_leaves_no_failure_for_devices_is_warned_of(
    failures: str, days: str, warned: int
) -> None:
    settings = load(OTP_MAX_FAILURES_PER_PHONE=failures, OTP_DEVICE_DAYS=days)
    assert sum("no device tokens" in text for text in settings.warnings()) == warned


def test_only_embedded_stores_and_printed_codes_are_worth_a_warning() -> None:
    production = {"SECRET_KEY": SECRET_KEY, "REDIS_URL": "redis://localhost"}
    assert load(**production).warnings() == []
    assert "SMS_BACKEND=console" in "".join(load(**production, SMS_BACKEND="console").warnings())
    assert "REDIS_URL" in "".join(load().warnings())


def test_no_two_settings_share_a_name() -> None:
    # Python keeps only the last of two fields with one name, so the source of each group is searched.
    names = [
        node.target.id
        for group in reversed(variables.Variables.__bases__)
        for definition in ast.parse(inspect.getsource(group)).body
        if isinstance(definition, ast.ClassDef)
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert tuple(names) == FIELDS


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_help_text_and_a_default_that_its_parser_accepts(name: str) -> None:
    variable = declared(variables.Variables)[name]
    assert len(variable.help.split()) >= 3
    assert variable.help.strip() == variable.help
    variable.default_value()


def test_the_example_file_is_made_from_the_declarations() -> None:
    command = [sys.executable, "-m", "otp_gateway.settings"]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert made.stdout == EXAMPLE.read_bytes(), "run: python -m otp_gateway.settings > .env.example"


def test_the_example_file_lists_each_variable_once_and_no_other() -> None:
    listed = re.findall(r"^#? ?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_file_holds_the_defaults(name: str) -> None:
    shown = {key: value for key, value in dotenv_values(EXAMPLE).items() if value is not None}
    if name == "secret_key":
        assert not shown.get("SECRET_KEY")
    else:
        assert getattr(load(**shown), name) == DEFAULTS[name]
        # An empty line means "unset". It does not replace a default that is not shown.
        if name != "web_concurrency":
            assert bool(shown.get(name.upper())) is (DEFAULTS[name] not in (None, (), {}, ""))


def test_a_gateway_with_bad_settings_lists_them_all_and_ends_before_it_serves() -> None:
    status, output = run_to_exit(
        {
            "SECRET_KEY": "too-short",
            "REDIS_URL": f"http://:{SECRET_WORD}@localhost",
            "OTP_LENGTH": "3",
            "OTP_IP_LIMITS": "0/minute",
        }
    )
    assert status == 1
    for name in ("SECRET_KEY", "REDIS_URL", "OTP_LENGTH", "OTP_IP_LIMITS"):
        assert f"{name}: " in output
    for unwanted in ("Traceback", "Listening", SECRET_WORD, "too-short"):
        assert unwanted not in output


def test_a_gateway_on_redis_without_a_secret_key_does_not_start() -> None:
    status, output = run_to_exit({"REDIS_URL": "redis://127.0.0.1:1"})
    assert status == 1
    assert "SECRET_KEY: required" in output
    assert "Listening" not in output


def test_a_gateway_whose_codes_are_too_easily_guessed_does_not_start() -> None:
    status, output = run_to_exit({"OTP_LENGTH": "4"})
    assert status == 1
    assert "OTP_MAX_GUESS_PROBABILITY: " in output
