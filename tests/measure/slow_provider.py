"""The waiting time of a verify while sends wait for the provider.

``python -m tests.measure.slow_provider [SECONDS [SENDS]]``: the provider takes so many seconds, and there are
so many sends a second. 0.3 and 260 use most of two processors, however the gateway uses its threads; 3 and 60
hold as many threads with a quarter of the work.
"""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

SEND = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
SECONDS = 6.0
# Seconds of sends before the verifies begin.
HEAD_START = 2.0
VERIFIES = 80
CLIENTS = 300
WORKERS = 2
context = multiprocessing.get_context("spawn")


def main(provider_seconds: float = 0.3, sends_per_second: float = 260) -> None:
    """Print the median time of a verify: while the gateway is idle, and under the sends."""
    found, stop = context.Queue(), context.Event()
    # Processes of their own, so that they do not wait for each other's interpreter.
    provider = context.Process(target=_provide, args=(provider_seconds, found, stop))
    provider.start()
    try:
        api_key, base_url = found.get(timeout=30)
        with RedisServer() as redis:
            environment = {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": redis.url,
                "KAVENEGAR_API_KEY": api_key,
                "KAVENEGAR_BASE_URL": base_url,
                "TRUSTED_PROXIES": "1",
            }
            with Gateway(environment, workers=WORKERS) as gateway:
                _measure(gateway.port, sends_per_second)
    finally:
        stop.set()
        provider.join()


def _measure(port: int, rate: float) -> None:
    _show("idle", _verifies(port, 0))
    results, started = context.Queue(), context.Event()
    load = context.Process(target=_load, args=(port, rate, results, started))
    load.start()
    started.wait(60)
    time.sleep(HEAD_START)
    _show("under the sends", _verifies(port, 1))
    sys.stdout.write(f"sends by status: {results.get(timeout=120)}\n")
    load.join()


def _provide(seconds: float, found: multiprocessing.Queue[tuple[str, str]], stop: threading.Event) -> None:
    with KavenegarEmulator() as emulator:
        emulator.fault = faults.slow(seconds)
        found.put((emulator.api_key, emulator.base_url))
        stop.wait()


def _load(
    port: int, rate: float, results: multiprocessing.Queue[dict[int, int]], started: threading.Event
) -> None:
    """Send at this rate from many addresses to many phones, whether or not the replies come."""
    numbers, statuses, began = itertools.count(), Counter[int](), time.monotonic()

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (number := next(numbers)) < SECONDS * rate:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            body = {"phone_number": f"+98935{number:07d}"}
            statuses[_post(connection, SEND, body, f"10.{number // 250}.{number % 250}.1")] += 1

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()
    results.put(dict(statuses))


def _verifies(port: int, run: int) -> list[float]:
    """The times of verifies that begin at fixed moments, whether or not the earlier ones are answered."""
    times: list[float] = []

    def verify(number: int) -> None:
        body = {"phone_number": f"+98912{run}{number:06d}", "code": "000000"}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        began = time.monotonic()
        status = _post(connection, VERIFY, body, f"172.16.{run}.{number}")
        times.append(time.monotonic() - began)
        assert status == 400, status
        connection.close()

    threads = [threading.Thread(target=verify, args=(number,)) for number in range(VERIFIES)]
    for thread in threads:
        thread.start()
        time.sleep((SECONDS - HEAD_START) / VERIFIES)
    for thread in threads:
        thread.join()
    return times


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, str], address: str) -> int:
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    data = json.dumps(body)
    for _ in range(2):
        # The gateway may close an idle connection.
        with suppress(http.client.RemoteDisconnected, ConnectionError):
            connection.request("POST", path, data, headers)
            reply = connection.getresponse()
            reply.read()
            return reply.status
        connection.close()
    return 0


def _show(name: str, times: list[float]) -> None:
    median, longest = statistics.median(times), max(times)
    sys.stdout.write(f"verify, {name}: median {median * 1000:.0f} ms, longest {longest * 1000:.0f} ms\n")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:3]))
