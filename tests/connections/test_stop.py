"""A graceful stop ends soon, although the keep-alive time of a connection is much longer."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from otp_gateway.gunicorn_worker.worker import Worker
from tests.connections.conftest import Connect, environment, get
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

# gunicorn's two seconds for a request that is already on its way, and room for a slow machine. The graceful
# timeout is 20 s, the keep-alive time 95 s.
SOON = 10.0


def seconds_to_stop(gateway: Gateway) -> float:
    began = time.monotonic()
    gateway.terminate()
    assert gateway.wait_exit(60) == 0
    return time.monotonic() - began


def test_two_hundred_connections_that_wait_after_a_reply_do_not_delay_a_stop(
    gateway: Gateway, connect: Connect
) -> None:
    for connection in connect(200):
        get(connection)
    assert seconds_to_stop(gateway) < SOON


def test_two_hundred_connections_that_have_sent_nothing_do_not_delay_a_stop(
    gateway: Gateway, connect: Connect
) -> None:
    connect(200)
    assert gateway.get("/healthz").status_code == 200
    assert seconds_to_stop(gateway) < SOON


def test_an_idle_connection_is_kept_for_longer_than_before(connect: Connect) -> None:
    [connection] = connect(1)
    for pause in (0, 7):
        time.sleep(pause)
        get(connection)


def test_connections_that_wait_in_the_queue_are_answered_when_every_process_is_stopped(
    gateway: Gateway, connect: Connect
) -> None:
    workers = gateway.workers
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    waiting = connect(50)
    for connection in waiting:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    # A platform sends SIGTERM to all processes.
    gateway.terminate()
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)

    assert [connection.recv(12) for connection in waiting] == [b"HTTP/1.1 200"] * 50
    assert gateway.wait_exit(60) == 0


def test_a_stopping_gateway_that_waits_for_a_send_refuses_connections_at_once(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    variables = {
        "SMS_BACKEND": "kavenegar",
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    }
    redis_server.clear()
    emulator.set_fault(faults.slow(4), action="sms/send")
    with Gateway(environment(redis_server, **variables)) as gateway, ThreadPoolExecutor(1) as pool:
        send = pool.submit(gateway.post, "/api/v1/usr/otp", {"phone_number": "+989123456789"})
        wait_until(lambda: any(r.action == "sms/send" for r in emulator.requests), "the send")
        gateway.terminate()

        wait_until(lambda: refuses(gateway), "a refused connection")

        assert not send.done()
        assert send.result().status_code == 200


def refuses(gateway: Gateway) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=5):
            return False
    except ConnectionRefusedError:
        return True


def test_a_quick_stop_does_not_wait_for_a_thread_that_is_being_started() -> None:
    worker = Worker.__new__(Worker)
    worker.cfg = SimpleNamespace(worker_int=lambda _: None)
    worker.tpool = ThreadPoolExecutor(1)
    signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]
    try:
        # The main thread holds this lock while it starts a thread, and a signal can interrupt it there.
        with worker.tpool._shutdown_lock, pytest.raises(SystemExit):
            worker.handle_quit(signal.SIGQUIT, None)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    assert (worker.quits, worker.alive) == (True, False)
