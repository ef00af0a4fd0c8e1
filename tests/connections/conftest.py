"""A gateway whose connections the tests occupy."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer

# Connect(n): n connections to the gateway.
Connect = Callable[[int], list[socket.socket]]


def environment(redis: RedisServer, **variables: str) -> dict[str, str]:
    return {"SECRET_KEY": SECRET_KEY, "REDIS_URL": redis.url, "SMS_BACKEND": "console", **variables}


def get(connection: socket.socket) -> None:
    """Send one request; return the whole reply."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while not received.endswith(b"}\n"):
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    assert received.startswith(b"HTTP/1.1 200"), received


@pytest.fixture
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    # On a platform, the variable makes gunicorn trust each peer. Each request comes from loopback here, too.
    with Gateway(environment(redis_server, TRUSTED_PROXIES="1", FORWARDED_ALLOW_IPS="*")) as gateway:
        yield gateway


@pytest.fixture
def connect(gateway: Gateway) -> Iterator[Connect]:
    opened: list[socket.socket] = []

    def several(number: int) -> list[socket.socket]:
        made = [socket.create_connection(("127.0.0.1", gateway.port), timeout=30) for _ in range(number)]
        opened.extend(made)
        return made

    yield several
    for connection in opened:
        connection.close()
