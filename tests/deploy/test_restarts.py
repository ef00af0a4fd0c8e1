"""Restart and reload lose no request: the units' rules, carried out on gateways under load."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deploy.conftest import Host, RunHost
from tests.deploy.load import ME, OTP, VERIFY, Load
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Call, Reply
from tests.support.redis_server import wait_until
from tests.support.units import Service

JWKS = "/.well-known/jwks.json"


@pytest.fixture(scope="module")
def running(run_host: RunHost) -> Iterator[Host]:
    # The timeout is for a provider that answers when a test lets it.
    with run_host(OTP_IP_LIMITS="100000/minute", SMS_TIMEOUT="40") as host:
        yield host


@pytest.fixture
def host(running: Host) -> Host:
    """With limits for many requests from one address. A test that stops a gateway starts it again."""
    running.clear()
    return running


def reload(gateway: Service) -> None:
    """Reload, and wait until the old workers have ended and the new ones have started."""
    old = gateway.workers()
    assert gateway.reload()
    wait_until(lambda: len(gateway.workers()) == len(old) and not gateway.workers() & old, "new workers")


def test_no_request_is_lost_while_each_gateway_in_turn_is_restarted_and_reloaded(
    host: Host,
) -> None:
    # A stopping worker waits for its sends. Requests that come meanwhile must be held for the next worker.
    host.emulator.fault = faults.slow(0.3)
    with Load(host.nginx, host.emulator, threads=8) as load:
        load.go_on()
        for _ in range(2):
            for gateway in host.gateways:
                gateway.restart()
                load.go_on()
                reload(gateway)
                load.go_on()
    # `pytest -rP` shows this.
    sys.stdout.write(f"answered {sum(load.answered.values())}, lost {len(load.failures)}\n")

    assert load.failures == []
    assert load.answered[OTP] == load.answered[VERIFY] == load.answered[ME]
    # Nor was any request carried out twice.
    assert len(host.emulator.messages) == load.answered[OTP]
    assert not any(gateway.killed for gateway in host.gateways)
    assert min(host.served(OTP)) > load.answered[OTP] / 4


def test_the_workers_share_their_metrics_in_the_runtime_directory(host: Host) -> None:
    for gateway in host.gateways:
        [folder] = gateway.runtime.iterdir()
        assert folder.name.startswith("otp-gateway-metrics-")
        assert list(folder.glob("counter_*.db"))


@pytest.fixture
def held(host: Host) -> Iterator[tuple[Host, threading.Event, list[Future[requests.Response]]]]:
    """A host whose provider answers when the event is set, with a send in progress at each gateway."""
    release = threading.Event()

    def fault(call: Call) -> None:
        payload = call.answer()
        release.wait(25)
        call.send(Reply.of(payload, 200))

    host.emulator.fault = fault

    def send(phone: str) -> requests.Response:
        with host.nginx.session() as client:
            return client.post(host.nginx.origin + OTP, json={"phone_number": phone}, timeout=60)

    with ThreadPoolExecutor(2) as pool:
        try:
            sends = [pool.submit(send, f"+98912345678{n}") for n in range(2)]
            wait_until(lambda: host.sends() == 2, "two sends")
            yield host, release, sends
        finally:
            release.set()


def test_a_gateway_that_is_stopped_finishes_its_sends(
    held: tuple[Host, threading.Event, list[Future[requests.Response]]],
) -> None:
    host, release, sends = held
    with ThreadPoolExecutor(2) as pool:
        stops = [pool.submit(gateway.stop) for gateway in host.gateways]
        for gateway in host.gateways:
            wait_until(lambda g=gateway: "Handling signal: term" in g.log(), "SIGTERM")  # type: ignore[misc]  # mypy cannot infer a lambda's default
        assert not any(future.done() for future in sends)
        assert not any(future.done() for future in stops)
        release.set()

        assert [future.result().status_code for future in sends] == [200, 200]
        assert [future.result() for future in stops] == [0, 0]
    assert host.served(OTP) == [1, 1]
    assert not any(gateway.killed for gateway in host.gateways)
    assert host.sends() == 2
    for gateway in host.gateways:
        gateway.start()


def test_a_gateway_that_is_reloaded_finishes_its_sends(
    held: tuple[Host, threading.Event, list[Future[requests.Response]]],
) -> None:
    host, release, sends = held
    old = [gateway.workers() for gateway in host.gateways]
    for gateway, workers in zip(host.gateways, old, strict=True):
        assert gateway.reload()
        # One of the two old workers is idle and exits; the new ones already serve.
        wait_until(lambda g=gateway, w=workers: len(g.workers() & w) == 1 and len(g.workers()) == 3, "reload")  # type: ignore[misc]  # mypy cannot infer a lambda's default
    assert not any(future.done() for future in sends)
    with host.nginx.session() as client:
        assert [client.get(host.nginx.origin + "/healthz").status_code for _ in range(2)] == [200, 200]
    release.set()

    assert [future.result().status_code for future in sends] == [200, 200]
    assert host.served(OTP) == [1, 1]
    for gateway, workers in zip(host.gateways, old, strict=True):
        wait_until(lambda g=gateway, w=workers: not g.workers() & w, "the old workers' end")  # type: ignore[misc]  # as above
    assert host.sends() == 2


def test_a_post_whose_gateway_breaks_off_is_not_sent_to_the_other(
    held: tuple[Host, threading.Event, list[Future[requests.Response]]],
) -> None:
    host, release, sends = held
    for worker in host.gateways[0].workers():
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: any(future.done() for future in sends), "the broken send")
    release.set()

    assert sorted(future.result().status_code for future in sends) == [200, 502]
    assert host.sends() == 2
    wait_until(lambda: len(host.gateways[0].workers()) == 2, "new workers")


def test_a_request_waits_for_a_gateway_that_is_unavailable(host: Host) -> None:
    for gateway in host.gateways:
        gateway.stop()

    def ask() -> requests.Response:
        with host.nginx.session() as client:
            return client.post(host.nginx.origin + VERIFY, json={}, timeout=30)

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask) for _ in range(2)]
        for gateway in host.gateways:
            wait_until(gateway.has_waiting, "a connection in the socket's queue")
        for gateway in host.gateways:
            gateway.start()
        assert [future.result().status_code for future in waiting] == [400, 400]


def test_a_reload_reads_the_keys_anew_and_refuses_bad_ones(run_host: RunHost, tmp_path: Path) -> None:
    key = tmp_path / "jwt.pem"
    key.write_text(private_key(), encoding="ascii")
    with run_host(JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=str(key)) as host:
        gateway = host.gateways[0]

        def keys() -> object:
            return requests.get(f"http://127.0.0.1:{gateway.port}{JWKS}", timeout=15).json()["keys"]

        first, workers = keys(), gateway.workers()
        key.write_text("no key", encoding="ascii")
        assert not gateway.reload()
        assert "JWT_PRIVATE_KEY" in gateway.log()
        assert gateway.workers() == workers
        assert keys() == first

        key.write_text(private_key(), encoding="ascii")
        reload(gateway)
        assert keys() != first


def private_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
