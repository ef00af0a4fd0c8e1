"""One ``Idempotency-Key`` has one outcome: for parallel requests, in a slow send, after a worker died."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.races.support import at_once, outcomes
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import code as result_code
from tests.support.kavenegar_faults import slow
from tests.support.redis_server import RedisServer, wait_until

PHONE = "+989123456789"
SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
REFRESH, ME = "/api/v1/usr/token/refresh", "/api/v1/usr/me"
KEY = {"Idempotency-Key": "one-key-for-all-of-them"}
TIMEOUT = 3


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"SMS_TIMEOUT": str(TIMEOUT)}


def send(gateway: Gateway) -> requests.Response:
    return gateway.post(SEND, {"phone_number": PHONE}, headers=KEY)


def sends(emulator: KavenegarEmulator) -> int:
    """The requests to send a message; the credit watch makes others."""
    return sum("sms/send" in request.path for request in emulator.requests)


def test_fifty_right_codes_with_one_key_give_fifty_equal_pairs_and_one_session(
    gateway: Gateway, emulator: KavenegarEmulator, redis_server: RedisServer
) -> None:
    gateway.post(SEND, {"phone_number": PHONE})
    body = {"phone_number": PHONE, "code": emulator.code_for(PHONE)}
    replies = at_once([lambda: gateway.post(VERIFY, body, headers=KEY)] * 50)
    assert outcomes(replies) == {"200": 50}
    assert len({reply.text for reply in replies}) == 1
    with redis_server.client() as redis:
        assert len(list(redis.scan_iter("otp:*:session:*"))) == 1


def test_one_key_with_fifty_bodies_gives_one_outcome_and_49_refusals(
    gateway: Gateway, redis_server: RedisServer
) -> None:
    def guess(number: int) -> Callable[[], requests.Response]:
        body = {"phone_number": PHONE, "code": f"{number:06d}"}
        return lambda: gateway.post(VERIFY, body, headers=KEY)

    replies = at_once([guess(number) for number in range(50)])
    assert outcomes(replies) == {"invalid_code": 1, "idempotency_key_reused": 49}
    with redis_server.client() as redis:
        [name] = redis.scan_iter("otp:*:tries")
        assert redis.hget(name, "tries") == b"1"


def test_many_sends_with_one_key_give_one_sms(gateway: Gateway, emulator: KavenegarEmulator) -> None:
    emulator.fault = slow(0.3)
    replies = at_once([lambda: send(gateway)] * 20)
    found = outcomes(replies)
    assert found["200"] >= 1
    assert set(found) <= {"200", "request_in_progress"}
    for reply in replies:
        if reply.status_code == 409:
            assert reply.headers["Retry-After"] == "1"
    assert send(gateway).status_code == 200
    assert len(emulator.messages_to(PHONE)) == 1


def test_a_repeat_while_the_first_send_hangs_is_409_and_then_the_outcome(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    emulator.fault = slow(1.5)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, gateway)
        wait_until(lambda: sends(emulator) == 1, "the first send")
        repeat = send(gateway)
        assert repeat.status_code == 409
        assert repeat.json()["code"] == "request_in_progress"
        assert first.result().status_code == 200
    assert send(gateway).status_code == 200
    assert len(emulator.messages_to(PHONE)) == 1


def test_a_repeat_after_the_first_sends_worker_was_killed_is_504(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    emulator.fault = slow(2)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        first = pool.submit(send, gateway)
        wait_until(lambda: sends(emulator) == 1, "the first send")
        for pid in gateway.workers:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(requests.RequestException):
            first.result()
    wait_until(lambda: _is_up(gateway), "new workers")
    if time.monotonic() - began < TIMEOUT - 0.5:
        assert send(gateway).json()["code"] == "request_in_progress"
    time.sleep(max(0.0, began + TIMEOUT + 0.5 - time.monotonic()))
    repeat = send(gateway)
    assert repeat.status_code == 504
    assert repeat.json()["code"] == "sms_unconfirmed"
    assert sends(emulator) == 1


def _is_up(gateway: Gateway) -> bool:
    try:
        return gateway.get("/healthz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


def test_a_repeat_after_a_definite_failure_is_a_new_send(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    emulator.fault = result_code(418)
    assert send(gateway).status_code == 502
    emulator.fault = None
    assert send(gateway).status_code == 200
    assert len(emulator.messages_to(PHONE)) == 1


def test_fifty_refreshes_with_one_key_give_one_pair(gateway: Gateway, emulator: KavenegarEmulator) -> None:
    gateway.post(SEND, {"phone_number": PHONE})
    pair = gateway.post(VERIFY, {"phone_number": PHONE, "code": emulator.code_for(PHONE)}).json()
    body = {"refresh_token": pair["refresh_token"]}
    replies = at_once([lambda: gateway.post(REFRESH, body, headers=KEY)] * 50)
    assert outcomes(replies) == {"200": 50}
    assert len({reply.text for reply in replies}) == 1
    token = replies[0].json()["access_token"]
    assert gateway.get(ME, headers={"Authorization": f"Bearer {token}"}).status_code == 200
