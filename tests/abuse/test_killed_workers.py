"""No credit is created or taken twice while requests come in parallel and workers are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import requests

from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
CREDIT, NETWORK, POOL_CAP, NETWORK_CAP = 200, 6, 240, 40
NETWORKS = [f"192.0.2.{n}" for n in range(1, 61)]
CLIENTS, PEOPLE, KILLS = 6, 50, 8
# Two credits an hour refill, and the run takes less than a minute.
SLACK = 0.2


class Levels:
    """The buckets in Redis, read again and again."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client()
        self.wrong: list[str] = []
        self.reads = 0

    def read(self) -> dict[str, float]:
        """Read the credit of each bucket that has been used."""
        found: dict[str, float] = {}
        shared: Any = self._client.hgetall("gate:{send}:shared")
        text: Any
        for pool, text in shared.items():
            found[pool.decode()] = float(text.split(b":")[0])
        for key in self._client.scan_iter("gate:{send}:network:*"):
            text = self._client.hget(key, "credit")
            if text:
                found[key.decode()] = float(text.split(b":")[0])
        return found

    def watch(self, done: threading.Event) -> None:
        """Record every level that is above its cap or below 0."""
        while not done.wait(0.02):
            self.reads += 1
            for name, level in self.read().items():
                cap = POOL_CAP if name in ("new", "known") else NETWORK_CAP
                if not 0 <= level <= cap:
                    self.wrong.append(f"{name}: {level}")


class Site:
    """Clients that count the events that have definitely happened, and those that may have happened."""

    def __init__(self, gateway: Gateway, emulator: KavenegarEmulator) -> None:
        self._gateway = gateway
        self._emulator = emulator
        self._numbers = count(1)
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def note(self, name: str) -> None:
        """Count one more event of this name."""
        with self._lock:
            self.counts[name] += 1

    def post(self, path: str, network: str, **body: str) -> requests.Response | None:
        """The reply; None if the worker has died."""
        with suppress(requests.RequestException):
            return self._gateway.post(path, body, headers={"X-Forwarded-For": network})
        return None

    def person(self, chance: random.Random) -> None:
        """Request a code, and in two of three cases sign in with it."""
        phone, network = f"+98912{next(self._numbers):07d}", chance.choice(NETWORKS)
        reply = self.post(SEND, network, phone_number=phone)
        if reply is None or reply.status_code >= 500:
            self.note("send: not known")
            return
        self.note("send: charged" if reply.status_code == 200 else "send: refused")
        if reply.status_code != 200 or chance.random() < 0.33:
            return
        code = self._emulator.code_for(phone)
        other = chance.choice([network, chance.choice(NETWORKS)])
        reply = self.post(VERIFY, other, phone_number=phone, code=code)
        if reply is None or reply.status_code in (200, 503):
            self.note("login")

    def crowd(self, seed: int) -> None:
        """One person after another."""
        chance = random.Random(seed)  # a test, which must be repeatable
        for _ in range(PEOPLE):
            self.person(chance)


def kill(gateway: Gateway, done: threading.Event) -> int:
    """Kill a worker from time to time; return how many were killed."""
    killed = 0
    while killed < KILLS and not done.wait(0.6):
        with suppress(ProcessLookupError, IndexError):
            os.kill(gateway.workers[-1], signal.SIGKILL)
            killed += 1
    return killed


def test_no_credit_is_made_by_parallel_requests_and_killed_workers(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    redis_server.clear()
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "TRUSTED_PROXIES": "1",
        "OTP_IP_LIMITS": "10000/minute",
        "OTP_GATE": "on",
        "OTP_GATE_CREDIT": str(CREDIT),
        "OTP_SEND_BUDGET": "10000/hour",
    }
    levels, done = Levels(redis_server), threading.Event()
    with Gateway(environment, workers=3) as gateway:
        site = Site(gateway, emulator)
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            watching, killing = pool.submit(levels.watch, done), pool.submit(kill, gateway, done)
            try:
                list(pool.map(site.crowd, range(CLIENTS)))
            finally:
                done.set()
            watching.result()
            killed = killing.result()
    # The gateway has stopped, and its recorders have written their last batches.
    counts, found = site.counts, levels.read()
    assert killed > 0
    assert levels.reads > 10
    assert levels.wrong == []
    charged, logins = counts["send: charged"], counts["login"]
    assert min(charged, logins) > 50
    pools = CREDIT * 2 - CREDIT * (2 - len({"new", "known"} & found.keys()))
    # Each login gives one credit back, and one more, because each phone signs in once.
    most = 2 * logins
    assert found.get("new", 0) + found.get("known", 0) <= pools - charged + most + SLACK
    own = [level for name, level in found.items() if name not in ("new", "known")]
    assert sum(own) <= NETWORK * len(own) - charged + most + SLACK * len(own)
    # No credit is taken twice: only a send whose outcome is unknown may have taken more.
    uncertain = counts["send: not known"]
    with redis_server.client() as client:
        money: Any = client.hgetall("gate:{send}:money")
        sends = sum(int(number) for name, number in money.items() if b"/" in name)
    assert charged <= sends <= charged + uncertain
    assert sum(own) >= NETWORK * len(own) - charged - uncertain
