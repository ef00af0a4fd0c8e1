"""A variable with almost the name of one of ours is reported, because it would have no effect."""

from __future__ import annotations

import pytest

from tests.api.support import make_api
from tests.checks.support import checked
from tests.conftest import make_settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KAVENEGAR_APIKEY", "KAVENEGAR_API_KEY"),
        ("OTP_EXPIRY", "OTP_EXPIRY_TIME"),
        ("OTP_MAX_ATTEMPT", "OTP_MAX_ATTEMPTS"),
        ("REDIS_URI", "REDIS_URL"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
    ],
)
def test_a_name_that_is_nearly_ours_is_warned_of_with_the_one_that_was_meant(name: str, meant: str) -> None:
    settings = make_settings(**{name: "x"})
    assert settings.misspelt == ((name, meant),)
    assert f"{name} is no variable of the gateway: did you mean {meant}?" in settings.warnings()


@pytest.mark.parametrize("name", ["REDIS_HOST", "SENTRY_ENVIRONMENT", "PATH", "PORTAGE", "AUTH_TOKEN", "JWT"])
def test_the_names_of_other_programs_are_none_of_ours(name: str) -> None:
    assert make_settings(**{name: "x"}).misspelt == ()


def test_a_name_under_our_prefix_is_warned_of_even_if_nothing_is_near() -> None:
    settings = make_settings(OTP_SOMETHING_COMPLETELY_DIFFERENT="x")
    assert [name for name, _ in settings.misspelt] == ["OTP_SOMETHING_COMPLETELY_DIFFERENT"]


def test_the_check_names_it_too() -> None:
    report = checked(KAVENEGAR_APIKEY="x")
    assert report["variables"] == (
        "warning",
        "KAVENEGAR_APIKEY is no variable of the gateway: did you mean KAVENEGAR_API_KEY?",
    )


def test_a_long_send_behind_a_router_of_thirty_seconds_is_warned_of() -> None:
    assert checked(SMS_TIMEOUT="25").of("sms_timeout") == "warning"
    assert checked(SMS_TIMEOUT="20").of("sms_timeout") == "ok"


@pytest.mark.parametrize(
    ("peer", "headers", "proxies", "warned"),
    [
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.7"}, 0, True),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.7"}, 0, True),
        ("fd00::1", {"X-Real-IP": "203.0.113.7"}, 0, True),
        ("10.1.2.3", {}, 0, False),
        ("198.41.0.4", {"X-Forwarded-For": "203.0.113.7"}, 0, False),
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.7"}, 1, False),
    ],
)
def test_a_proxy_that_is_not_trusted_is_warned_of_once(
    capsys: pytest.CaptureFixture[str], peer: str, headers: dict[str, str], proxies: int, *, warned: bool
) -> None:
    api = make_api(TRUSTED_PROXIES=proxies)
    for _ in range(3):
        api.app.test_client().post(
            "/api/v1/usr/otp", json={}, headers=headers, environ_overrides={"REMOTE_ADDR": peer}
        )
    assert capsys.readouterr().err.count("TRUSTED_PROXIES is 0") == (1 if warned else 0)
