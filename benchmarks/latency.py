"""The duration of a verify: while the provider is slow, and with and without an active code."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.client import exchange, post
from benchmarks.scripts import SilentSender
from benchmarks.site import WORKERS, Site, new_address, new_phone, site
from otp_gateway.gateway import Gateway as Parts
from otp_gateway.model import Caller, Clock, SendRequest
from tests.conftest import SECRET_KEY, make_settings

API = "/api/v1/usr"
PROVIDER_SECONDS = 0.3
# Sends in progress, as a share of the threads that sends may hold: three quarters of 32 in each worker.
SHARES = (0.6, 1.2)
SEND_THREADS = WORKERS * 24
VERIFIES = 500
GUESSES = 10_000
SECOND = 1_000.0
context = multiprocessing.get_context("spawn")


def measure_slow_provider() -> Iterator[str]:
    """Lines: the median and the 99th percentile of a verify, without sends and with them."""
    with site(provider_seconds=PROVIDER_SECONDS) as running:
        _verify_times(running, 50)
        yield _percentiles("verify, no send in progress", _verify_times(running, VERIFIES))
        for share in SHARES:
            stop = context.Event()
            load = context.Process(
                target=_keep_sending, args=(running.gateway.port, round(SEND_THREADS * share), stop)
            )
            load.start()
            time.sleep(2)
            times = _verify_times(running, VERIFIES)
            stop.set()
            load.join()
            yield _percentiles(f"verify, sends hold {share:.0%} of their threads", times)


def measure_uniformity(running: Site, guesses: int = GUESSES) -> str:
    """A line: the difference of the medians of a wrong verify with and without an active code."""
    parts = Parts.build(
        make_settings(SECRET_KEY=SECRET_KEY, REDIS_URL=running.redis.url), sender=SilentSender()
    )
    times: dict[bool, list[float]] = {True: [], False: []}
    for first in range(0, 2 * guesses, 200):
        active = first // 200 % 2 == 0
        phones = [new_phone() for _ in range(200)]
        seconds, micros = parts.redis.time()
        caller = Caller("benchmark", Clock.read(int(seconds) * 1000 + int(micros) // 1000))
        for phone in phones if active else []:
            parts.service.request(SendRequest(phone), caller)
        requests = [
            post(f"{API}/otp/verify", {"phone_number": phone.e164, "code": "000000"}, address=new_address())
            for phone in phones
        ]
        times[active] += [reply.seconds for reply in exchange(running.gateway.port, requests, 1)]
    with_code, without = (statistics.median(times[active]) * SECOND for active in (True, False))
    return (
        f"{'wrong verify: with an active code':<44}{with_code:>8.3f} ms\n"
        f"{'wrong verify: without one':<44}{without:>8.3f} ms\n"
        f"{'difference of the medians':<44}{with_code - without:>8.3f} ms"
    )


def _verify_times(running: Site, count: int) -> list[float]:
    requests = [
        post(f"{API}/otp/verify", {"phone_number": new_phone().e164, "code": "000000"}, address=new_address())
        for _ in range(count)
    ]
    return [reply.seconds for reply in exchange(running.gateway.port, requests, 1)]


def _percentiles(what: str, times: list[float]) -> str:
    median, last = statistics.median(times) * SECOND, statistics.quantiles(times, n=100)[98] * SECOND
    return f"{what:<44}{median:>8.1f} ms{last:>10.1f} ms"


def _keep_sending(port: int, connections: int, stop: Any) -> None:
    """Hold so many sends in progress. A refused one is tried again after the provider's time."""

    def send(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            # Phones and addresses apart from those of the other process.
            phone, address = (
                f"+98935{number:03d}{count:04d}",
                f"172.{16 + number % 16}.{count >> 8}.{count & 255}",
            )
            (reply,) = exchange(port, [post(f"{API}/otp", {"phone_number": phone}, address=address)], 1)
            if reply.status != 200:
                time.sleep(PROVIDER_SECONDS)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
