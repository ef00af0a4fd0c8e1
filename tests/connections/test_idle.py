"""Clients that send no data, send slowly or do not read: they occupy connections, but never a thread."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.connections.conftest import Connect, environment, get
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer

HEAD = b"POST /api/v1/usr/otp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
REQUESTS = 20
# In an earlier version, one request waited for minutes.
LONGEST = 10.0
# This is more than the threads of both workers.
ENOUGH = 200


def assert_serves(gateway: Gateway) -> None:
    """A number of requests are answered, each on its own connection, within seconds."""
    began = time.monotonic()
    for _ in range(REQUESTS):
        assert gateway.get("/healthz", timeout=LONGEST).status_code == 200
    assert time.monotonic() - began < LONGEST


@pytest.fixture
def descriptors() -> None:
    """This process needs a descriptor for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))


@pytest.mark.usefixtures("descriptors")
def test_two_thousand_idle_connections_stop_no_request(gateway: Gateway, connect: Connect) -> None:
    connect(2000)
    assert_serves(gateway)


@pytest.mark.usefixtures("descriptors")
def test_two_thousand_connections_that_wait_after_a_reply_stop_no_request(
    gateway: Gateway, connect: Connect
) -> None:
    for connection in connect(2000):
        get(connection)
    assert_serves(gateway)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"P", id="one byte"),
        pytest.param(HEAD, id="half a head"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\n{", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{", id="half a chunk"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n{" + b" " * 8192, id="half a large chunk"
        ),
        pytest.param(HEAD + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", id="waits for leave"),
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n", id="a body too large"),
        pytest.param(GET + b"\r\nG", id="after a request"),
    ],
)
def test_clients_that_send_slowly_stop_no_request(gateway: Gateway, connect: Connect, data: bytes) -> None:
    for connection in connect(ENOUGH):
        connection.sendall(data)
    assert_serves(gateway)


def test_clients_that_do_not_close_after_the_last_reply_stop_no_request(
    gateway: Gateway, connect: Connect
) -> None:
    for connection in connect(ENOUGH):
        connection.sendall(GET + b"Connection: close\r\n\r\n")
    assert_serves(gateway)


def test_clients_that_do_not_read_their_reply_stop_no_request(gateway: Gateway, connect: Connect) -> None:
    for connection in connect(ENOUGH):
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
    assert_serves(gateway)


def test_at_the_limit_of_connections_the_oldest_idle_one_is_closed(redis_server: RedisServer) -> None:
    options = {"GUNICORN_CMD_ARGS": "--worker-connections 40"}
    with Gateway(environment(redis_server, **options), workers=1) as gateway, ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            for _ in range(100)
        ]
        assert_serves(gateway)
        assert opened[0].recv(1) == b""
        get(opened[-1])


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux lowers the limit of another process")
def test_a_worker_without_descriptors_goes_on(gateway: Gateway, connect: Connect) -> None:
    workers = gateway.workers
    # A started worker still loads its modules, and its first requests load more: this needs descriptors.
    time.sleep(1)
    assert_serves(gateway)
    for pid in workers:
        in_use = max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(
            pid, resource.RLIMIT_NOFILE, (in_use + 20, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1])
        )
    connect(100)
    assert_serves(gateway)
    assert gateway.workers == workers


def test_half_a_request_is_closed_after_ten_seconds(connect: Connect) -> None:
    [connection] = connect(1)
    connection.sendall(HEAD)
    assert connection.recv(1) == b""
