"""Test numbers: a fixed code and no message, until a date; all limits apply."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from otp_gateway import create_app
from otp_gateway.settings import Settings, SettingsError
from otp_gateway.store import connect
from tests.api.support import Api, Recorder
from tests.conftest import make_settings

NUMBER, OTHER, CODE = "+989990000001", "+989990000002", "424242"
TODAY = datetime.now(UTC).date()
LATER = (TODAY + timedelta(days=90)).isoformat()
PAST = (TODAY - timedelta(days=1)).isoformat()


def claims_of(token: str) -> dict[str, Any]:
    """The claims of one of our tokens, without a check."""
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def body_of(reply: TestResponse) -> Any:
    """The JSON body."""
    return reply.json


class Site:
    """A gateway with test numbers; ``sender`` has the messages that were sent."""

    def __init__(self, store: Any, **variables: object) -> None:
        self.sender = Recorder()
        self.settings = make_settings(
            **{
                "OTP_TEST_NUMBERS": f"{NUMBER}={CODE}",
                "OTP_TEST_NUMBERS_UNTIL": LATER,
                "OTP_IP_LIMITS": "1000/minute",
            }
            | variables
        )
        self.api = Api(create_app(self.settings, redis=store, sender=self.sender), store)


@pytest.fixture
def store() -> Any:
    return connect(None)


@pytest.fixture
def site(store: Any) -> Site:
    return Site(store)


def test_no_message_goes_out_and_the_fixed_code_signs_in(site: Site) -> None:
    assert site.api.send(NUMBER).status_code == 200
    assert site.sender.sent == []
    reply = site.api.verify(NUMBER, CODE)
    assert reply.status_code == 200
    pair = body_of(reply)
    assert "device_token" not in pair
    for token in (pair["access_token"], pair["refresh_token"]):
        assert claims_of(token)["test"] is True


def test_the_code_must_be_requested_and_works_once(site: Site) -> None:
    assert body_of(site.api.verify(NUMBER, CODE))["code"] == "invalid_code"
    site.api.send(NUMBER)
    assert site.api.verify(NUMBER, CODE).status_code == 200
    assert body_of(site.api.verify(NUMBER, CODE))["code"] == "invalid_code"


def test_a_refreshed_session_is_still_a_test(site: Site) -> None:
    site.api.send(NUMBER)
    first = body_of(site.api.verify(NUMBER, CODE))
    body = {"refresh_token": first["refresh_token"]}
    second = body_of(site.api.post("/api/v1/usr/token/refresh", body))
    assert claims_of(second["access_token"])["test"] is True


def test_an_ordinary_number_has_no_such_claim(site: Site) -> None:
    site.api.send(OTHER)
    reply = site.api.verify(OTHER, site.sender.code_for(OTHER))
    assert "test" not in claims_of(body_of(reply)["access_token"])


def test_all_limits_apply(site: Site) -> None:
    assert [site.api.send(NUMBER).status_code for _ in range(4)] == [200, 200, 200, 429]
    wrong = [site.api.verify(NUMBER, "000000").status_code for _ in range(4)]
    assert wrong == [400, 400, 400, 429]


def test_after_the_date_it_is_an_ordinary_number(store: Any) -> None:
    site = Site(store, OTP_TEST_NUMBERS_UNTIL=PAST)
    site.api.send(NUMBER)
    code = site.sender.code_for(NUMBER)
    assert site.api.verify(NUMBER, CODE).status_code == 400
    reply = site.api.verify(NUMBER, code)
    assert "test" not in claims_of(body_of(reply)["access_token"])


@pytest.mark.parametrize(
    "variables", [{"OTP_TEST_NUMBERS_UNTIL": PAST}, {"OTP_TEST_NUMBERS": f"{OTHER}={CODE}"}]
)
def test_an_active_fixed_code_ends_with_the_number(store: Any, variables: dict[str, object]) -> None:
    Site(store).api.send(NUMBER)
    later = Site(store, **variables)
    assert body_of(later.api.verify(NUMBER, CODE))["code"] == "invalid_code"


def test_a_session_that_a_fixed_code_opened_stays_a_test_after_the_date(store: Any) -> None:
    before = Site(store)
    before.api.send(NUMBER)
    first = body_of(before.api.verify(NUMBER, CODE))
    after = Site(store, OTP_TEST_NUMBERS_UNTIL=PAST, SECRET_KEY=before.settings.secret_key)
    reply = after.api.post("/api/v1/usr/token/refresh", {"refresh_token": first["refresh_token"]})
    assert claims_of(body_of(reply)["access_token"])["test"] is True


def test_the_message_after_the_date_has_a_code_that_verifies(store: Any) -> None:
    Site(store).api.send(NUMBER)
    later = Site(store, OTP_TEST_NUMBERS_UNTIL=PAST)
    later.api.send(NUMBER)
    assert later.api.verify(NUMBER, later.sender.code_for(NUMBER)).status_code == 200


@pytest.mark.parametrize(
    ("variables", "name", "words"),
    [
        ({"OTP_TEST_NUMBERS": f"{NUMBER}={CODE}"}, "OTP_TEST_NUMBERS", "OTP_TEST_NUMBERS_UNTIL"),
        ({"OTP_TEST_NUMBERS": "09990000001=424242"}, "OTP_TEST_NUMBERS", "international"),
        ({"OTP_TEST_NUMBERS": NUMBER}, "OTP_TEST_NUMBERS", "codes"),
        ({"OTP_TEST_NUMBERS": f"{NUMBER}={CODE},{NUMBER}=111111"}, "OTP_TEST_NUMBERS", "twice"),
        (
            {"OTP_TEST_NUMBERS": ",".join(f"+98999000{n:04d}=424242" for n in range(11))},
            "OTP_TEST_NUMBERS",
            "more than 10",
        ),
        (
            {"OTP_TEST_NUMBERS": f"{NUMBER}=4242", "OTP_TEST_NUMBERS_UNTIL": LATER},
            "OTP_TEST_NUMBERS",
            "OTP_LENGTH",
        ),
        (
            {
                "OTP_TEST_NUMBERS": f"{NUMBER}={CODE}",
                "OTP_TEST_NUMBERS_UNTIL": (TODAY + timedelta(days=200)).isoformat(),
            },
            "OTP_TEST_NUMBERS_UNTIL",
            "180 days",
        ),
        ({"OTP_TEST_NUMBERS_UNTIL": "next year"}, "OTP_TEST_NUMBERS_UNTIL", "date"),
    ],
)
def test_a_list_that_cannot_be_is_refused(variables: dict[str, object], name: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(**variables)
    assert words in " ".join(caught.value.faults[name])


def test_every_start_warns_of_them_and_the_repr_hides_them(site: Site) -> None:
    settings: Settings = site.settings
    assert any(text.startswith("OTP_TEST_NUMBERS") for text in settings.warnings())
    assert CODE not in repr(settings)
    assert NUMBER not in " ".join(settings.warnings())
    assert not any("OTP_TEST" in text for text in replace(settings, otp_test_numbers={}).warnings())
