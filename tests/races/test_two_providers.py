"""Two hosts, one idempotency key, and a send that fails over to a second provider meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from tests.races.support import at_once, outcomes
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import code, hang, slow
from tests.support.redis_server import RedisServer, wait_until
from tests.support.two_providers import codes_to, send_calls, two_providers

PHONE = "+989123456789"
SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
KEY = {"Idempotency-Key": "one-key-for-all-of-them"}
TIMEOUT = 4


@pytest.fixture
def second() -> Iterator[KavenegarEmulator]:
    with KavenegarEmulator() as emulator:
        yield emulator


@pytest.fixture
def hosts(
    redis_server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> Iterator[list[Gateway]]:
    """Two gateways of two workers each, on one Redis."""
    redis_server.clear()
    variables = two_providers(emulator, second, redis_server.url, SMS_TIMEOUT=str(TIMEOUT))
    with ExitStack() as stack:
        yield [stack.enter_context(Gateway(variables, workers=2)) for _ in range(2)]


def send(gateway: Gateway) -> requests.Response:
    return gateway.post(SEND, {"phone_number": PHONE}, headers=KEY)


def charges(server: RedisServer) -> int:
    with server.client() as client:
        return sum(client.llen(key) for key in client.scan_iter("otp:*:sends"))


def test_a_repeat_at_another_host_during_a_failover_is_409_and_then_the_same_outcome(
    hosts: list[Gateway], redis_server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    # The first provider sends the message, and does not answer within its half of the time.
    emulator.set_fault(hang(deliver=True), action="sms/send")
    second.set_fault(slow(0.7))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, hosts[0])
        wait_until(lambda: send_calls(emulator) >= 1, "the call of the first provider")
        early = send(hosts[1])
        wait_until(lambda: send_calls(second) == 1, "the call of the second provider")
        late = send(hosts[1])
        for repeat in (early, late):
            assert (repeat.status_code, repeat.json()["code"]) == (409, "request_in_progress")
            assert repeat.headers["Retry-After"] == "1"
        assert first.result().status_code == 200
    replies = [send(host) for host in (*hosts, *hosts)]
    assert outcomes(replies) == {"200": 4}
    assert len(emulator.messages) == len(second.messages) == charges(redis_server) == 1
    found = codes_to(PHONE, emulator, second)
    assert len(found) == 2
    assert len(set(found)) == 1
    body = {"phone_number": PHONE, "code": found[0]}
    verifies = [lambda: hosts[0].post(VERIFY, body), lambda: hosts[1].post(VERIFY, body)] * 5
    assert outcomes(at_once(verifies))["200"] == 1


def test_many_sends_with_one_key_at_two_hosts_fail_over_once(
    hosts: list[Gateway], redis_server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    emulator.set_fault(code(418), action="sms/send")
    second.set_fault(slow(0.5))
    replies = at_once([lambda host=hosts[n % 2]: send(host) for n in range(20)])  # type: ignore[misc]  # mypy cannot infer a lambda's default
    found = outcomes(replies)
    assert found["200"] >= 1
    assert set(found) <= {"200", "request_in_progress"}
    assert outcomes([send(host) for host in hosts]) == {"200": 2}
    assert send_calls(emulator) == send_calls(second) == len(second.messages) == charges(redis_server) == 1


def test_sends_without_a_key_at_two_hosts_that_fail_over_never_exceed_the_window(
    hosts: list[Gateway], redis_server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    emulator.set_fault(code(418), action="sms/send")
    second.set_fault(slow(0.2))

    def plain(host: Gateway) -> requests.Response:
        return host.post(SEND, {"phone_number": PHONE})

    replies = at_once([lambda host=hosts[n % 2]: plain(host) for n in range(20)])  # type: ignore[misc]  # mypy cannot infer a lambda's default
    assert outcomes(replies) == {"200": 3, "too_many_otp_requests": 17}
    assert len(second.messages) == charges(redis_server) == 3
    assert len(set(codes_to(PHONE, second))) == 1


def test_a_repeat_after_a_host_was_killed_during_a_failover_is_504(
    hosts: list[Gateway], redis_server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    emulator.set_fault(code(418), action="sms/send")
    # The second provider has sent the message when the worker dies.
    second.set_fault(slow(2))
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        first = pool.submit(send, hosts[0])
        wait_until(lambda: send_calls(second) == 1, "the call of the second provider")
        for pid in hosts[0].workers:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(requests.RequestException):
            first.result()
    if time.monotonic() - began < TIMEOUT - 0.5:
        assert send(hosts[1]).json()["code"] == "request_in_progress"
    time.sleep(max(0.0, began + TIMEOUT + 0.5 - time.monotonic()))
    repeat = send(hosts[1])
    assert (repeat.status_code, repeat.json()["code"]) == (504, "sms_unconfirmed")
    # The repeat calls no provider. The code works, and its send is charged once.
    assert send_calls(emulator) == send_calls(second) == charges(redis_server) == 1
    (active,) = codes_to(PHONE, second)
    assert hosts[1].post(VERIFY, {"phone_number": PHONE, "code": active}).status_code == 200
