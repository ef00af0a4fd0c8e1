"""Delivery status over two real gateways of two workers each, on one Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from otp_gateway.store.deliveries import SAMPLE_AGE_MINUTES, SAMPLES_A_MINUTE
from otp_gateway.store.keys import delivery_sample, delivery_turn
from tests.admin.support import LOGIN, PASSWORD, PASSWORD_HASH, TOKENS, pid_of, token_in
from tests.api.support import SEND
from tests.conftest import SECRET_KEY
from tests.metrics.support import scrape
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

WORKERS = 2
CALL = "sms/statuslocalmessageid"
PHONES = [f"+9891230{n:05}" for n in range(8)]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def started(server: RedisServer, emulator: KavenegarEmulator, stack: ExitStack) -> list[Gateway]:
    variables = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": "1000/minute",
        "ADMIN_PASSWORD_HASH": PASSWORD_HASH,
    }
    return [stack.enter_context(Gateway(variables, workers=WORKERS)) for _ in range(2)]


def calls(emulator: KavenegarEmulator) -> int:
    return sum(request.action == CALL for request in emulator.requests)


def seed(server: RedisServer) -> range:
    """Store a full sample for each of the minutes that become due during the test; return those minutes."""
    with server.client() as client:
        first = int(client.time()[0]) // 60 - SAMPLE_AGE_MINUTES
        minutes = range(first, first + 10)
        for minute in minutes:
            # The provider does not know these numbers.
            members = {f"{minute * 1000 + n} +98912": n for n in range(SAMPLES_A_MINUTE)}
            client.zadd(delivery_sample(minute), members)
            client.expire(delivery_sample(minute), 3600)
    return minutes


def test_all_workers_of_all_hosts_together_make_one_call_for_each_minute(
    server: RedisServer, emulator: KavenegarEmulator
) -> None:
    minutes = seed(server)
    with ExitStack() as stack:
        gateways = started(server, emulator, stack)
        for gateway in gateways:
            # Each new worker checks when it starts.
            before = set(gateway.workers)
            gateway.hup()
            wait_until(
                lambda g=gateway, b=before: len(g.workers) == WORKERS and not b & set(g.workers),  # type: ignore[misc]  # mypy cannot infer a lambda's default
                "the new workers",
            )

        def counted() -> float:
            return sum(
                scrape(gateway).value("sms_delivery_samples_total", prefix="+98912", status="unknown")
                for gateway in gateways
            )

        wait_until(lambda: counted() >= SAMPLES_A_MINUTE, "the sample")
        with server.client() as client:
            taken = sum(client.exists(delivery_turn(minute)) for minute in minutes)
        # Eight workers have checked, in one minute or around the end of one.
        assert calls(emulator) == taken
        assert counted() == SAMPLES_A_MINUTE * taken
        asked = [
            number
            for request in emulator.requests
            if request.action == CALL
            for number in request.form["localid"].split(",")
        ]
        assert len(asked) == len(set(asked)) == SAMPLES_A_MINUTE * taken


def test_a_provider_that_hangs_stops_neither_pages_nor_sends_nor_health(
    server: RedisServer, emulator: KavenegarEmulator
) -> None:
    seed(server)
    emulator.set_fault(faults.hang(), action=CALL)
    with ExitStack() as stack:
        gateways = started(server, emulator, stack)
        # The background job of one worker waits for the provider from here on.
        wait_until(lambda: calls(emulator) >= 1, "the call of the job")
        for phone in PHONES:
            assert gateways[0].post(SEND, {"phone_number": phone}).status_code == 200
        assert len(emulator.messages) == len(PHONES)
        cookies = signed_in(gateways[0])
        before = calls(emulator)

        def load(n: int) -> requests.Response:
            return gateways[n % 2].get(f"{TOKENS}{pid_of(PHONES[n % 8])}/", cookies=cookies)

        with ThreadPoolExecutor(32) as pool:
            pages = [pool.submit(load, n) for n in range(32)]
            alive = [pool.submit(gateway.get, "/healthz") for gateway in gateways for _ in range(4)]
        assert [page.result().status_code for page in pages] == [200] * 32
        assert [reply.result().status_code for reply in alive] == [200] * 8
        # At most one page of each worker has waited; the job may have called for the next minute.
        assert calls(emulator) - before <= 2 * WORKERS + 1


def signed_in(gateway: Gateway) -> dict[str, str]:
    """The cookies of an operator. Both gateways accept them, because they share Redis and the secret."""
    form = gateway.get(LOGIN)
    data = {"csrf": token_in(form.text), "password": PASSWORD}
    reply = gateway.post(LOGIN, data=data, cookies=dict(form.cookies), allow_redirects=False)
    assert reply.status_code == 302, re.sub(r"\s+", " ", reply.text)
    return dict(form.cookies) | dict(reply.cookies)
