"""Findings that need only the settings, each in each of its states."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from tests.checks.support import checked, commands
from tests.conftest import make_settings
from tests.support.servers import free_port

HASH = generate_password_hash("a password for tests", method="pbkdf2:sha256:1")


def away() -> str:
    """A Redis that does not answer for long."""
    return f"redis://127.0.0.1:{free_port()}/0"


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "ab" * 20,
        "12345" * 8,
        "correcthorsebatterystaple" * 2,
        "changeme-now-changeme-now-changeme-now",
    ],
)
def test_a_secret_that_repeats_itself_is_a_fault_that_does_not_show_it(secret: str) -> None:
    report = checked(SECRET_KEY=secret, REDIS_URL=away())
    status, message = report["secret_key"]
    assert status == "fault"
    assert "make one with" in message
    assert secret not in report.output


@pytest.mark.parametrize(
    "secret",
    [secrets.token_urlsafe(48), secrets.token_hex(16), f"{secrets.randbelow(10**32):032}"],
    ids=["base64", "hex", "decimal"],
)
def test_a_random_secret_is_fine_and_only_its_length_is_reported(secret: str) -> None:
    report = checked(SECRET_KEY=secret, REDIS_URL=away())
    assert report["secret_key"] == ("ok", f"SECRET_KEY has {len(secret)} characters")
    assert secret not in report.output


def test_former_secrets_are_counted_and_not_shown() -> None:
    former = [secrets.token_urlsafe(48) for _ in range(2)]
    report = checked(REDIS_URL=away(), SECRET_KEY_FALLBACKS=",".join(former))
    assert report.of("secret_key") == "ok"
    assert "2 former accepted" in report["secret_key"][1]
    assert not any(secret in report.output for secret in former)


def test_with_the_embedded_store_it_is_unknown_whether_the_secret_stays() -> None:
    assert checked().of("secret_key") == "warning"


def test_odds_above_the_usual_are_a_warning_with_the_figure() -> None:
    assert checked()["guess_probability"] == ("ok", "at most 0.0001 per phone in any 24 h")
    status, message = checked(OTP_LENGTH=5, OTP_MAX_GUESS_PROBABILITY="0.01")["guess_probability"]
    assert status == "warning"
    assert "0.001 " in message
    assert "OTP_LENGTH" in message


def test_sending_to_every_country_is_a_warning() -> None:
    assert checked(OTP_REGIONS="IR,DE")["destinations"] == ("ok", "phones of IR, DE")
    assert checked(OTP_REGIONS="*").of("destinations") == "warning"


def test_access_tokens_that_live_long_are_a_warning() -> None:
    assert checked().of("tokens") == "ok"
    assert checked(JWT_ACCESS_TTL=3600).of("tokens") == "ok"
    assert checked(JWT_ACCESS_TTL=3601).of("tokens") == "warning"


def test_a_panel_that_shows_codes_or_has_an_open_cookie_is_a_warning() -> None:
    assert "off" in checked()["admin_panel"][1]
    behind: dict[str, Any] = {"ADMIN_PASSWORD_HASH": HASH, "TRUSTED_PROXIES": 1}
    assert checked(**behind)["admin_panel"] == ("ok", "on")
    assert checked(ADMIN_PASSWORD_HASH=HASH).of("admin_panel") == "warning"
    report = checked(**behind, ADMIN_REVEAL_CODES="true")
    assert report.of("admin_panel") == "warning"
    assert HASH not in report.output


def test_a_short_metrics_token_is_a_warning_that_does_not_show_it() -> None:
    assert checked().of("metrics") == "ok"
    assert checked(METRICS_TOKEN="t" * 16).of("metrics") == "ok"
    report = checked(METRICS_TOKEN="hunter2hunter2x")
    assert report.of("metrics") == "warning"
    assert "hunter2" not in report.output


def test_cookies_are_looked_at_without_an_address_too() -> None:
    assert checked()["cookies"] == ("ok", "tokens travel in bodies")
    assert "HttpOnly" in checked(AUTH_COOKIES="true")["cookies"][1]


def test_without_an_address_what_lies_outside_is_a_warning_that_says_how() -> None:
    report = checked(TRUSTED_PROXIES=2)
    for name in ("https", "proxies"):
        status, message = report[name]
        assert status == "warning"
        assert "--url https://" in message
    assert "TRUSTED_PROXIES=2" in report["proxies"][1]


def test_lines_are_aligned_and_end_with_the_sum() -> None:
    result = commands(make_settings()).test_cli_runner().invoke(args=["otp", "check"])
    *lines, empty, total = result.stdout.splitlines()
    assert empty == ""
    as_json = json.loads(
        commands(make_settings()).test_cli_runner().invoke(args=["otp", "check", "--json"]).stdout
    )
    assert lines == [f"{c['status']:<8} {c['name']:<12} {c['message']}" for c in as_json["checks"]]
    statuses = [line.split()[0] for line in lines]
    assert total == ", ".join(
        f"{statuses.count(status)} {word}"
        for status, word in (("fault", "fault(s)"), ("warning", "warning(s)"), ("ok", "ok"))
    )
    assert "\x1b" not in result.stdout
