"""Both lanes of a phone at once: each keeps its own limits, with any number of workers and hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.races.support import at_once, outcomes
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"
SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
Body = dict[str, str]
# The message of the login that has given the device token.
LOGIN_SMS = 1


@pytest.fixture
def hosts(gateway: Gateway, environment: dict[str, str]) -> Iterator[list[Gateway]]:
    """Two hosts on one Redis."""
    with Gateway(environment, workers=1) as other:
        yield [gateway, other]


@pytest.fixture
def device(gateway: Gateway, emulator: KavenegarEmulator, redis_server: RedisServer) -> Body:
    """The member of a body that makes the client a device of the phone.

    The phone's other data are deleted.
    """
    gateway.post(SEND, {"phone_number": PHONE})
    login = gateway.post(VERIFY, {"phone_number": PHONE, "code": emulator.code_for(PHONE)})
    with redis_server.client() as redis:
        for key in redis.scan_iter("otp:*"):
            redis.delete(key)
    return {"device_token": login.json()["device_token"]}


def wrong(*codes: str) -> str:
    return next(code for code in ("000000", "000001", "000002") if code not in codes)


def posts(
    hosts: list[Gateway], path: str, body: Body, times: int, key: str = ""
) -> list[Callable[[], requests.Response]]:
    headers, count = {"Idempotency-Key": key} if key else {}, len(hosts)
    return [
        lambda host=hosts[n % count]: host.post(path, body, headers=headers)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        for n in range(times)
    ]


def alternating(
    one: list[Callable[[], requests.Response]], other: list[Callable[[], requests.Response]]
) -> tuple[Counter[str], Counter[str]]:
    """The outcomes of both lists of calls. The calls alternate between the lists and run at once."""
    replies = at_once([call for pair in zip(one, other, strict=True) for call in pair])
    return outcomes(replies[::2]), outcomes(replies[1::2])


def codes_of_both(gateway: Gateway, emulator: KavenegarEmulator, device: Body) -> tuple[str, str]:
    """The active codes of the common lane and of the device lane."""
    gateway.post(SEND, {"phone_number": PHONE})
    common = emulator.code_for(PHONE)
    gateway.post(SEND, {"phone_number": PHONE} | device)
    return common, emulator.code_for(PHONE)


def test_sends_in_both_lanes_at_once_give_three_sms_each(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body
) -> None:
    body = {"phone_number": PHONE}
    common, own = alternating(posts(hosts, SEND, body, 40), posts(hosts, SEND, body | device, 40))
    for found in (common, own):
        assert found["200"] == 3
        assert set(found) <= {"200", "too_many_otp_requests", "sms_busy"}
    assert len(emulator.messages_to(PHONE)) == LOGIN_SMS + 6


def test_right_codes_in_both_lanes_at_once_give_one_login_each(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body, redis_server: RedisServer
) -> None:
    first, second = codes_of_both(hosts[0], emulator, device)
    common, own = alternating(
        posts(hosts, VERIFY, {"phone_number": PHONE, "code": first}, 40),
        posts(hosts, VERIFY, {"phone_number": PHONE, "code": second} | device, 40),
    )
    assert common["200"] == own["200"] == 1
    assert set(common) | set(own) <= {"200", "invalid_code", "too_many_attempts"}
    with redis_server.client() as redis:
        assert len(list(redis.scan_iter("otp:*:session:*"))) == 2


def test_wrong_codes_in_both_lanes_at_once_are_compared_three_times_each(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body, redis_server: RedisServer
) -> None:
    body = {"phone_number": PHONE, "code": wrong(*codes_of_both(hosts[0], emulator, device))}
    common, own = alternating(posts(hosts, VERIFY, body, 40), posts(hosts, VERIFY, body | device, 40))
    assert common == own == {"invalid_code": 3, "too_many_attempts": 37}
    with redis_server.client() as redis:
        for name in redis.scan_iter("otp:*tries"):
            assert redis.hget(name, "failures").startswith(b"3:")


def test_one_key_in_both_lanes_gives_one_login_each_in_equal_replies(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body
) -> None:
    first, second = codes_of_both(hosts[0], emulator, device)
    key = "one-key-for-all-of-them"
    calls = [
        posts(hosts, VERIFY, {"phone_number": PHONE, "code": first}, 25, key),
        posts(hosts, VERIFY, {"phone_number": PHONE, "code": second} | device, 25, key),
    ]
    replies = at_once([call for pair in zip(*calls, strict=True) for call in pair])
    assert outcomes(replies) == {"200": 50}
    common, own = ({reply.text for reply in part} for part in (replies[::2], replies[1::2]))
    assert len(common) == len(own) == 1
    assert common != own


def test_one_key_in_both_lanes_gives_one_sms_each(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body
) -> None:
    key, body = "one-key-for-all-of-them", {"phone_number": PHONE}
    common, own = alternating(posts(hosts, SEND, body, 15, key), posts(hosts, SEND, body | device, 15, key))
    for found in (common, own):
        assert found["200"] >= 1
        assert set(found) <= {"200", "request_in_progress"}
    assert len(emulator.messages_to(PHONE)) == LOGIN_SMS + 2


def test_a_device_signs_in_while_strangers_send_and_guess_without_end(
    hosts: list[Gateway], emulator: KavenegarEmulator, device: Body
) -> None:
    body = {"phone_number": PHONE}
    for _ in range(3):
        sent = hosts[0].post(SEND, body | device)
        assert sent.status_code == 200
        code = emulator.code_for(PHONE)
        attack = [
            *posts(hosts, SEND, body, 30),
            *posts(hosts, VERIFY, body | {"code": wrong(code)}, 30),
        ]
        login = posts(hosts, VERIFY, body | {"code": code} | device, 1)
        replies = at_once([*attack[:30], *login, *attack[30:]])
        assert replies[30].status_code == 200
