"""One set of values over all workers of a gateway, also while workers start and end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import socket

import pytest
import requests

from tests.api.support import PHONE, SEND, VERIFY
from tests.conftest import SECRET_KEY
from tests.metrics.support import Scrape, scrape
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway, run_to_exit
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

WORKERS = 3


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the gateways of a test put their temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def environment(redis: RedisServer, emulator: KavenegarEmulator, temporary: Path) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "SMS_TIMEOUT": "2",
        "OTP_IP_LIMITS": "100000/minute",
        "TMPDIR": str(temporary),
    }


@pytest.fixture
def gateway(redis_server: RedisServer, emulator: KavenegarEmulator, temporary: Path) -> Iterator[Gateway]:
    with Gateway(environment(redis_server, emulator, temporary), workers=WORKERS) as gateway:
        yield gateway


def files(temporary: Path) -> list[str]:
    """The names of the files of the only gateway."""
    [folder] = temporary.glob("otp-gateway-*")
    return sorted(file.name for file in folder.iterdir())


def replace_workers(gateway: Gateway) -> None:
    """Send SIGHUP, and wait until no earlier worker is left."""
    old = set(gateway.workers)
    gateway.hup()
    wait_until(lambda: len(gateway.workers) == WORKERS and not old & set(gateway.workers), "the new workers")


def ask(gateway: Gateway, times: int) -> None:
    """Wrong codes, and calls of /healthz, in parallel."""
    body = {"phone_number": PHONE, "code": "x"}
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(gateway.post, VERIFY, body) for _ in range(times)]
        jobs += [pool.submit(gateway.get, "/healthz") for _ in range(times)]
        assert [job.result().status_code for job in jobs] == [400] * times + [200] * times


def verifies(now: Scrape) -> float:
    assert now.value("verifies_total", outcome="invalid_request") == now.total("verifies_total")
    assert now.value("http_request_duration_seconds_count", route=VERIFY) == now.total("verifies_total")
    # Each worker also calls Redis once when it starts.
    assert now.value("redis_call_duration_seconds_count", script="admit") >= now.total("verifies_total")
    return now.total("verifies_total")


def test_totals_are_exact_whichever_worker_answers(gateway: Gateway, temporary: Path) -> None:
    ask(gateway, 60)
    with ThreadPoolExecutor(8) as pool:
        scrapes = list(pool.map(scrape, [gateway] * 16))
    assert [verifies(now) for now in scrapes] == [60] * 16
    ask(gateway, 40)
    assert verifies(scrape(gateway)) == 100
    # Several workers have counted, each in files of its own.
    assert len([name for name in files(temporary) if name.startswith("counter_")]) == WORKERS
    assert scrape(gateway).value("http_requests_in_progress") == 1


def test_replaced_workers_are_counted_on_and_leave_no_files_behind(gateway: Gateway, temporary: Path) -> None:
    ask(gateway, 20)
    replace_workers(gateway)
    assert verifies(scrape(gateway)) == 20
    ask(gateway, 20)
    replace_workers(gateway)
    seen = files(temporary)
    for round_ in range(2):
        ask(gateway, 20)
        assert verifies(scrape(gateway)) == 60 + 20 * round_
        replace_workers(gateway)
    assert verifies(scrape(gateway)) == 80
    # Gauges are those of running workers. There are never more than the counters of two generations.
    kept = {name for name in files(temporary) if not name.startswith("gauge_")}
    assert kept == {name for name in seen if not name.startswith("gauge_")}
    assert len(kept) <= 2 * 2 * WORKERS
    wait_until(lambda: len(files(temporary)) - len(kept) == WORKERS, "the gauges of the living alone")
    assert scrape(gateway).value("http_requests_in_progress") == 1


def test_a_killed_worker_takes_no_count_with_it_and_leaves_nothing_in_progress(
    gateway: Gateway, emulator: KavenegarEmulator, temporary: Path
) -> None:
    ask(gateway, 20)
    emulator.set_fault(faults.hang(), action="sms/send")
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(gateway.post, SEND, {"phone_number": f"+98935111000{n}"}) for n in range(6)]
        wait_until(lambda: scrape(gateway).value("http_requests_in_progress") == 7, "sends under way")
        killed = set(gateway.workers)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for job in jobs:
            with pytest.raises(requests.ConnectionError):
                job.result()
    wait_until(lambda: len(set(gateway.workers) - killed) == WORKERS, "all new workers")
    wait_until(lambda: _healthy(gateway), "their answer")
    now = scrape(gateway)
    assert now.value("http_requests_in_progress") == 1
    assert now.value("verifies_total", outcome="invalid_request") == 20
    assert now.value("http_request_duration_seconds_count", route=VERIFY) == 20
    # The new workers continue the counts of the killed ones.
    assert len([name for name in files(temporary) if name.startswith("counter_")]) == WORKERS
    ask(gateway, 20)
    assert scrape(gateway).value("verifies_total", outcome="invalid_request") == 40


def _healthy(gateway: Gateway) -> bool:
    try:
        return gateway.get("/healthz").status_code == 200
    except requests.ConnectionError:
        return False


def test_scrapes_are_well_while_workers_start_and_stop(gateway: Gateway) -> None:
    ask(gateway, 10)
    done = threading.Event()

    def watch() -> list[int]:
        seen = []
        while not done.is_set():
            try:
                reply = gateway.get("/metrics")
            except requests.RequestException:
                # Its worker was killed during it.
                continue
            seen.append(reply.status_code)
            assert verifies(Scrape(reply.text)) == 10
        return seen

    with ThreadPoolExecutor(3) as pool:
        watchers = [pool.submit(watch) for _ in range(3)]
        try:
            for _ in range(2):
                replace_workers(gateway)
                victim = gateway.workers[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda v=victim: v not in gateway.workers, "its end")  # type: ignore[misc]  # v is bound
                wait_until(lambda: len(gateway.workers) == WORKERS, "its successor")
        finally:
            done.set()
        seen = [status for watcher in watchers for status in watcher.result()]
    assert len(seen) > 10
    assert set(seen) == {200}


def test_a_worker_that_dies_before_it_has_written_spoils_no_scrape(gateway: Gateway, temporary: Path) -> None:
    ask(gateway, 5)
    [folder] = temporary.glob("otp-gateway-*")
    for name in ("counter_9.db", "histogram_9.db", "gauge_livesum_9.db"):
        (folder / name).touch()
    (folder / "counter_8.db").write_bytes(bytes(1 << 16))
    assert verifies(scrape(gateway)) == 5


def test_a_folder_that_a_cleanup_removed_stops_no_new_worker(gateway: Gateway, temporary: Path) -> None:
    [folder] = temporary.glob("otp-gateway-*")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert gateway.get("/metrics").status_code == 200
    replace_workers(gateway)
    ask(gateway, 5)
    assert verifies(scrape(gateway)) == 5
    assert folder.stat().st_mode & 0o777 == 0o700


def test_two_gateways_on_one_machine_do_not_mix(
    gateway: Gateway, redis_server: RedisServer, emulator: KavenegarEmulator, temporary: Path
) -> None:
    with Gateway(environment(redis_server, emulator, temporary), workers=1) as other:
        ask(gateway, 5)
        assert verifies(scrape(gateway)) == 5
        assert verifies(scrape(other)) == 0
        assert len(list(temporary.glob("otp-gateway-*"))) == 2
    assert verifies(scrape(gateway)) == 5


def test_a_gateway_that_ends_leaves_nothing_behind(temporary: Path) -> None:
    with Gateway({"TMPDIR": str(temporary)}) as gateway:
        assert scrape(gateway).value("redis_up") == 1
        [folder] = temporary.glob("otp-gateway-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        gateway.terminate()
        assert gateway.wait_exit() == 0
    assert list(temporary.iterdir()) == []


def test_a_gateway_that_cannot_start_leaves_nothing_behind(temporary: Path) -> None:
    with closing(socket()) as taken:
        # Its own PORT is free, so it gets as far as the sockets; this one is in use.
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        bind = f"--bind 127.0.0.1:{port}"
        status, log = run_to_exit({"TMPDIR": str(temporary), "GUNICORN_CMD_ARGS": bind}, timeout=30)
    assert status == 1
    assert "in use" in log
    assert list(temporary.iterdir()) == []


def test_what_the_environment_says_of_such_folders_is_not_ours(temporary: Path) -> None:
    """Another program's variable must not mix our values with its own, or keep us from starting."""
    elsewhere = temporary / "missing"
    with Gateway({"TMPDIR": str(temporary), "PROMETHEUS_MULTIPROC_DIR": str(elsewhere)}) as gateway:
        assert scrape(gateway).value("redis_up") == 1
        assert not elsewhere.exists()
    assert list(temporary.iterdir()) == []
