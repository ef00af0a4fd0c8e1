"""Each limit is exact for requests at once, on real gunicorn workers and real Redis."""

from __future__ import annotations

from collections.abc import Callable

import requests

from tests.api.test_otp import SPELLINGS
from tests.conftest import SECRET_KEY
from tests.races.support import at_once, outcomes
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def test_a_hundred_right_codes_at_once_give_one_login(gateway: Gateway, emulator: KavenegarEmulator) -> None:
    gateway.post("/api/v1/usr/otp", {"phone_number": PHONE})
    body = {"phone_number": PHONE, "code": emulator.code_for(PHONE)}

    replies = at_once([lambda: gateway.post("/api/v1/usr/otp/verify", body)] * 100)

    found = outcomes(replies)
    assert found["200"] == 1
    assert set(found) <= {"200", "invalid_code", "too_many_attempts"}


def test_a_hundred_wrong_codes_at_once_are_compared_three_times(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    gateway.post("/api/v1/usr/otp", {"phone_number": PHONE})
    code = emulator.code_for(PHONE)
    body = {"phone_number": PHONE, "code": wrong(code)}

    replies = at_once([lambda: gateway.post("/api/v1/usr/otp/verify", body)] * 100)

    assert outcomes(replies) == {"invalid_code": 3, "too_many_attempts": 97}
    left = sorted(r.json()["attempts_remaining"] for r in replies if r.status_code == 400)
    assert left == [0, 1, 2]
    right = gateway.post("/api/v1/usr/otp/verify", {"phone_number": PHONE, "code": code})
    assert right.json()["code"] == "too_many_attempts"


def test_a_hundred_sends_in_ten_spellings_give_three_sms(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    def send(spelling: str) -> Callable[[], requests.Response]:
        return lambda: gateway.post("/api/v1/usr/otp", {"phone_number": spelling})

    replies = at_once([send(spelling) for spelling in SPELLINGS[:10] * 10])

    found = outcomes(replies)
    # A worker whose threads for clients without a token all wait may answer that it is busy.
    assert found["200"] == 3
    assert set(found) == {"200", "too_many_otp_requests"} | ({"sms_busy"} & set(found))
    assert len(emulator.messages_to(PHONE)) == len(emulator.messages) == 3
    assert {reply.json()["phone_number"] for reply in replies if reply.ok} == {PHONE}


def test_right_and_wrong_codes_mixed_never_give_two_logins_nor_a_fourth_comparison(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    for turn in range(5):
        phone = f"+98912345678{turn}"
        gateway.post("/api/v1/usr/otp", {"phone_number": phone})
        code = emulator.code_for(phone)

        def verify(guess: str, phone: str = phone) -> Callable[[], requests.Response]:
            body = {"phone_number": phone, "code": guess}
            return lambda: gateway.post("/api/v1/usr/otp/verify", body)

        found = outcomes(at_once([verify(wrong(code)), verify(code)] * 10))

        # At most three wrong tries before the login. The login clears them, so at most three more after it.
        assert found["200"] <= 1
        assert found["invalid_code"] <= 6
        assert found["200"] == 1 or found["invalid_code"] == 3


def test_an_address_gets_no_more_than_its_limit_from_all_workers_together(
    redis_server: RedisServer,
) -> None:
    redis_server.clear()
    environment = {"SECRET_KEY": SECRET_KEY, "REDIS_URL": redis_server.url}
    with Gateway(environment, workers=2) as gateway:
        replies = at_once([lambda: gateway.post("/api/v1/usr/otp/verify", {})] * 60)

    assert outcomes(replies) == {"invalid_request": 5, "rate_limited": 55}


def test_two_gateways_on_one_redis_are_one(
    gateway: Gateway, environment: dict[str, str], emulator: KavenegarEmulator
) -> None:
    with Gateway(environment, workers=1) as other:
        hosts = [gateway, other]
        sends = at_once(
            [lambda h=h: h.post("/api/v1/usr/otp", {"phone_number": PHONE}) for h in hosts * 20]  # type: ignore[misc]  # mypy cannot infer a lambda's default
        )
        body = {"phone_number": PHONE, "code": emulator.code_for(PHONE)}
        logins = at_once(
            [lambda h=h: h.post("/api/v1/usr/otp/verify", body) for h in hosts * 20]  # type: ignore[misc]  # as above
        )

    assert outcomes(sends)["200"] == len(emulator.messages) == 3
    assert outcomes(logins)["200"] == 1
