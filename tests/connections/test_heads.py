"""Huge headers are refused before they cost processor time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.connections.conftest import environment
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer
from tests.support.wire import answers

HEAD = b"POST /api/v1/usr/otp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
ROUNDS = 30
# In an earlier version, such a request took thirty times as much as a small one.
MOST = 5


@pytest.fixture
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(environment(redis_server), workers=1) as gateway:
        yield gateway


def ticks(gateway: Gateway) -> int:
    """The processor time of the worker."""
    [pid] = gateway.workers
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cost(gateway: Gateway, data: bytes, statuses: set[int]) -> int:
    """The processor time of the worker for ``ROUNDS`` such requests. All have one of the statuses."""
    before = ticks(gateway)
    for _ in range(ROUNDS):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
            received = b""
            # The gateway may close the connection during the send.
            with suppress(ConnectionError):
                connection.sendall(data)
            with suppress(ConnectionError):
                while chunk := connection.recv(65536):
                    received += chunk
        assert {answer.status for answer in answers(received)} <= statuses
    return ticks(gateway) - before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the processor time comes from /proc")
@pytest.mark.parametrize("value", [b"a" * 8000, b"1.1.1.1," * 1000, b"a=b; " * 1600])
def test_720_kilobytes_of_headers_cost_little_more_than_a_small_request(
    gateway: Gateway, value: bytes
) -> None:
    huge = HEAD + b"".join(b"X-%d: %s\r\n" % (n, value) for n in range(90)) + b"\r\n"

    small_cost = cost(gateway, HEAD + b"\r\n", {400, 415, 429})
    huge_cost = cost(gateway, huge, {431})

    # A tick is usually 10 ms: with few of them, one more must not matter.
    assert huge_cost <= MOST * max(small_cost, os.sysconf("SC_CLK_TCK") // 20)
