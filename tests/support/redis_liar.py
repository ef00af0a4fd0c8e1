"""A proxy that returns the real Redis's replies, except those that a test replaces."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from tests.support.servers import LoopbackServer


class RedisLiar:
    """In front of the Redis on ``upstream``; a context manager. ``lies``: replies by a part of the command.

    Clients must wait for each reply before the next command, as redis-py does outside pipelines.
    """

    def __init__(
        self, upstream: int, lies: dict[bytes, Callable[[], bytes]], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._upstream = upstream
        self._lies = lies
        self._tls = tls
        self._server = LoopbackServer(self._serve)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._server.port

    @property
    def url(self) -> str:
        """Its redis:// URL, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _serve(self, client: socket.socket, _: Any) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._upstream)) as redis:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client:
                self._relay(client, redis)

    def _relay(self, client: socket.socket, redis: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, redis], [], [])
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                lie = next((lie for part, lie in self._lies.items() if part in data), None)
                if source is redis:
                    client.sendall(data)
                elif lie is not None:
                    client.sendall(lie())
                else:
                    redis.sendall(data)


def text(*lines: str) -> Callable[[], bytes]:
    """A bulk string, such as the reply to INFO."""
    body = "\r\n".join(lines).encode()
    return lambda: b"$%d\r\n%b\r\n" % (len(body), body)


def clock(ahead: float) -> Callable[[], bytes]:
    """The reply to TIME of a clock that is so many seconds ahead."""

    def reply() -> bytes:
        now = time.time() + ahead
        parts = [str(int(now)).encode(), str(int(now % 1 * 1e6)).encode()]
        return b"*2\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)

    return reply


def error(words: str) -> Callable[[], bytes]:
    """An error."""
    return f"-{words}\r\n".encode
