"""A provider that is slow or hangs, against a real gunicorn worker: only sends wait for it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from otp_gateway.abuse.devices import Devices
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from otp_gateway.senders.breaker import FAILURES, PAUSE_SECONDS
from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway, until_answered
from tests.support.kavenegar import Call, KavenegarEmulator, Reply
from tests.support.redis_server import RedisServer, wait_until

SEND = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
# How many sends one address may make in a minute, by default.
PER_ADDRESS = 5
THREADS = 32
# Sends may hold three quarters of the threads. A sixth of those is reserved for devices.
SLOTS = 20
RESERVED = 4


def received(emulator: KavenegarEmulator) -> int:
    """The calls to send. The gateway also reads the account's credit now and then."""
    return sum(request.action == "sms/send" for request in emulator.requests)


class Provider:
    """A provider that answers when the test allows it."""

    def __init__(self, emulator: KavenegarEmulator) -> None:
        self._emulator = emulator
        self._release = threading.Event()
        emulator.set_fault(self._hold, action="sms/send")

    @property
    def waiting(self) -> int:
        """The sends that it has received."""
        return received(self._emulator)

    def answer(self) -> None:
        """Answer the sends that wait, and the later ones at once."""
        self._release.set()

    def _hold(self, call: Call) -> None:
        payload = call.answer()
        self._release.wait(60)
        call.send(Reply.of(payload, payload["return"]["status"]))


@contextmanager
def started(redis: RedisServer, emulator: KavenegarEmulator, **more: str) -> Iterator[Gateway]:
    """One worker behind one proxy, with an empty Redis."""
    redis.clear()
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "TRUSTED_PROXIES": "1",
        "SMS_TIMEOUT": "60",
    }
    with Gateway(environment | more, workers=1) as gateway:
        yield gateway


def phone(number: int) -> str:
    return f"+98912{number:07d}"


def call(gateway: Gateway, path: str, address: int, **body: str) -> requests.Response:
    """A request from one of many addresses."""
    headers = {"X-Forwarded-For": f"198.51.{address // 250}.{address % 250}"}
    return until_answered(lambda: gateway.post(path, body, headers=headers, timeout=90))


def send(gateway: Gateway, number: int, addresses_from: int = 0) -> requests.Response:
    """A send for this phone. Five phones share an address."""
    return call(gateway, SEND, addresses_from + number // PER_ADDRESS, phone_number=phone(number))


@contextmanager
def sending(gateway: Gateway, count: int, first: int = 0) -> Iterator[list[Future[requests.Response]]]:
    """So many sends at once, to as many phones."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(send, gateway, first + number) for number in range(count)]


def codes(jobs: list[Future[requests.Response]]) -> Counter[str]:
    return Counter(str(job.result().json().get("code", job.result().status_code)) for job in jobs)


def device_token(number: str) -> str:
    """A device token from an earlier login with this phone."""
    made_at = int(1000 * time.time()) - 60_000
    token = Devices(Codes(SECRET_KEY, 6), 86_400).create(PhoneNumber(number), "s" * 16, made_at)
    assert token
    return token


def charged(redis: RedisServer) -> int:
    """The phones that a send was charged to."""
    with redis.client() as client:
        return len(list(client.scan_iter("otp:*:sends")))


@pytest.mark.parametrize("count", [60, 150])
def test_sends_to_a_slow_provider_leave_threads_for_everything_else(
    redis_server: RedisServer, emulator: KavenegarEmulator, count: int
) -> None:
    provider = Provider(emulator)
    with started(redis_server, emulator) as gateway, sending(gateway, count) as jobs:
        try:
            wait_until(lambda: sum(job.done() for job in jobs) == count - SLOTS, "the surplus", 60)
            wait_until(lambda: provider.waiting == SLOTS, "the sends that wait", 60)
            assert codes([job for job in jobs if job.done()]) == {"sms_busy": count - SLOTS}
            # A thread that waits for the provider cannot answer any of the requests below.
            for number in range(10):
                assert gateway.get("/healthz").status_code == 200
                reply = call(gateway, VERIFY, 1000 + number, phone_number=phone(9_000_000), code="000000")
                assert reply.json()["code"] in ("invalid_code", "too_many_attempts")
            assert provider.waiting == charged(redis_server) == SLOTS
            assert sum(job.done() for job in jobs) == count - SLOTS
        finally:
            provider.answer()
        assert codes(jobs) == {"200": SLOTS, "sms_busy": count - SLOTS}
        busy = [number for number, job in enumerate(jobs) if job.result().status_code == 503]
        assert {jobs[number].result().headers["Retry-After"] for number in busy} == {"2"}
        # Three sends in two minutes are allowed: the refused one did not count.
        for number in busy[:3]:
            replies = [send(gateway, number, 1000 * turn) for turn in (1, 2, 3, 4)]
            assert [reply.status_code for reply in replies] == [200, 200, 200, 429]


def test_users_with_a_device_token_get_their_codes_while_strangers_hold_all_other_threads(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    provider = Provider(emulator)
    with started(redis_server, emulator) as gateway, sending(gateway, 40) as jobs:
        try:
            wait_until(lambda: sum(job.done() for job in jobs) == 40 - SLOTS, "the surplus", 60)
            with ThreadPoolExecutor(RESERVED) as pool:
                users = [
                    pool.submit(
                        call,
                        gateway,
                        SEND,
                        2000 + number,
                        phone_number=phone(8_000_000 + number),
                        device_token=device_token(phone(8_000_000 + number)),
                    )
                    for number in range(RESERVED)
                ]
                wait_until(lambda: provider.waiting == SLOTS + RESERVED, "the devices' sends", 60)
                # All slots are taken now, those for devices included.
                other = phone(8_999_999)
                reply = call(gateway, SEND, 3000, phone_number=other, device_token=device_token(other))
                assert reply.json()["code"] == "sms_busy"
                assert gateway.get("/healthz").status_code == 200
                provider.answer()
            assert codes(users) == {"200": RESERVED}
        finally:
            provider.answer()


def test_the_slots_follow_the_threads_that_an_operator_gave_gunicorn(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    provider = Provider(emulator)
    environment = {"GUNICORN_CMD_ARGS": "--threads 8"}
    with started(redis_server, emulator, **environment) as gateway, sending(gateway, 20) as jobs:
        try:
            wait_until(lambda: sum(job.done() for job in jobs) == 15, "the surplus", 60)
            wait_until(lambda: provider.waiting == 5, "the sends that wait", 60)
            assert gateway.get("/healthz").status_code == 200
            assert provider.waiting == charged(redis_server) == 5
        finally:
            provider.answer()
        assert codes(jobs) == {"200": 5, "sms_busy": 15}


def test_sends_that_are_refused_or_taken_back_give_their_threads_back(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    environment = {"GUNICORN_CMD_ARGS": "--threads 2", "SMS_TIMEOUT": "2"}
    with started(redis_server, emulator, **environment) as gateway:
        # There is one slot, so each of these would keep it from the next one.
        endings: list[tuple[Callable[[Call], None] | None, int]] = [
            (faults.code(411), 502),
            (faults.drop(), 504),
            (faults.html(502), 504),
            (faults.hang(), 504),
            (None, 200),
        ]
        for number, (fault, status) in enumerate(endings):
            emulator.fault = fault
            assert send(gateway, number).status_code == status
        again = [send(gateway, len(endings) - 1, 1000 * turn).status_code for turn in (1, 2, 3)]
        assert again == [200, 200, 429]
        assert send(gateway, 100).status_code == 200


def test_after_five_timeouts_sends_are_refused_at_once_until_a_probe_is_answered(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    with started(redis_server, emulator, SMS_TIMEOUT="2") as gateway:
        for turn in range(5):
            emulator.fault = faults.hang()
            with sending(gateway, FAILURES, first=1000 * turn) as jobs:
                began = time.monotonic()
                assert codes(jobs) == {"sms_unconfirmed": FAILURES}
            before = received(emulator)
            emulator.fault = None
            refused = send(gateway, 1000 * turn + 100)
            # On a machine that was busy for the whole pause, the probe is over, and the test has to begin
            # again.
            if refused.status_code != 200 or time.monotonic() - began < PAUSE_SECONDS:
                break
        assert refused.json()["code"] == "sms_failed"
        assert received(emulator) == before
        assert charged(redis_server) == FAILURES + turn * (FAILURES + 1)
        assert call(gateway, VERIFY, 1000, phone_number=phone(0), code="000000").status_code == 400
        assert '"reason": "skipped"' in gateway.log()

        def answers() -> bool:
            return send(gateway, 200, next(addresses)).status_code == 200

        addresses = iter(range(2000, 10_000))
        wait_until(answers, "the probe", PAUSE_SECONDS + 30)
        with sending(gateway, FAILURES, first=300) as jobs:
            assert codes(jobs) == {"200": FAILURES}
