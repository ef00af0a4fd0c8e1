"""A TCP proxy in front of Redis that loses, delays and holds commands where a test says so."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Self

from tests.support.servers import LoopbackServer


class RedisProxy:
    """Pass everything on to the Redis on `upstream_port` until told otherwise.

    A context manager. `match` picks the commands whose bytes contain it; None picks all, the
    handshake of a new connection (HELLO, CLIENT) included. Pipelines and RESP3 work.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self._lock = threading.Lock()
        self._requests: list[bytes] = []
        self._dropped = 0
        self._request_drops = _Rule()
        self._reply_drops = _Rule()
        self._delays = _Rule()
        self._seconds = 0.0
        self._holds = _Rule()
        self._connections: set[_Connection] = set()
        self._server = LoopbackServer(self._serve)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._server.port

    @property
    def url(self) -> str:
        """Its address as a redis:// URL, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def dropped(self) -> int:
        """How many requests and replies were lost so far."""
        with self._lock:
            return self._dropped

    @property
    def held(self) -> int:
        """How many commands wait for `release`."""
        with self._lock:
            connections = list(self._connections)
        return sum(connection.held for connection in connections)

    def seen(self, match: bytes | None = None) -> int:
        """How many requests with `match` in their bytes have come, lost and held ones included."""
        with self._lock:
            return sum(match is None or match in request for request in self._requests)

    def drop_requests(self, n: int, match: bytes | None = None) -> None:
        """Lose the next `n` matching commands before Redis sees them; the connection closes."""
        with self._lock:
            self._request_drops = _Rule(n, match)

    def drop_replies(self, n: int, match: bytes | None = None) -> None:
        """Let the next `n` matching commands run, then close instead of forwarding the reply."""
        with self._lock:
            self._reply_drops = _Rule(n, match)

    def delay(self, seconds: float, match: bytes | None = None) -> None:
        """Keep each reply to a matching command back for `seconds`; 0 ends it."""
        with self._lock:
            self._seconds = seconds
            self._delays = _Rule(None, match)

    def hold(self, match: bytes | None = None) -> None:
        """Keep matching commands, and what follows them on their connection, from Redis.

        The client sees silence. It may go away: `release` delivers its commands all the same.
        """
        with self._lock:
            self._holds = _Rule(None, match)

    def release(self) -> None:
        """Hand Redis all held commands; later ones pass."""
        with self._lock:
            self._holds = _Rule()
            connections = list(self._connections)
        for connection in connections:
            connection.flush()

    def reset(self) -> None:
        """Pass-through again, nothing seen, nothing dropped; held commands are released."""
        with self._lock:
            self._request_drops = self._reply_drops = self._delays = _Rule()
            self._seconds = 0.0
            self._requests.clear()
            self._dropped = 0
        self.release()

    def disconnect(self) -> None:
        """Cut every connection there is now; commands held on them are lost."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def start(self) -> None:
        """Accept connections."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening and cut everything; held commands are lost."""
        self._server.closing.set()
        self.disconnect()
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def arrived(self, request: bytes) -> _Plan:
        """Count a request and decide, once, what becomes of it."""
        with self._lock:
            self._requests.append(request)
            if self._request_drops.takes(request):
                return _Plan(drop_request=True)
            return _Plan(
                drop_reply=self._reply_drops.takes(request),
                delay=self._seconds if self._delays.takes(request) else 0.0,
            )

    def holds(self, request: bytes) -> bool:
        """Whether this command has to wait for `release`."""
        with self._lock:
            return self._holds.takes(request)

    def count_drop(self) -> None:
        """One more request or reply is lost."""
        with self._lock:
            self._dropped += 1

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than the proxy lives."""
        self._server.closing.wait(seconds)

    def _serve(self, client: socket.socket, _address: object) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=5)
        except OSError:
            return
        with upstream:
            upstream.settimeout(None)
            for each in (client, upstream):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, client, upstream)
            with self._lock:
                self._connections.add(connection)
            try:
                connection.run()
            finally:
                with self._lock:
                    self._connections.discard(connection)


def read_frame(stream: BinaryIO) -> bytes:
    """The bytes of one complete RESP2 or RESP3 value; EOFError when the stream ends first."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    kind, size = line[:1], line[1:-2]
    if kind in (b"$", b"=", b"!"):
        # A null bulk string is "$-1" and has no body.
        length = int(size) + 2 if int(size) >= 0 else 0
        body = stream.read(length)
        if len(body) < length:
            raise EOFError
        return line + body
    if kind in (b"*", b"~", b">"):
        values = int(size)
    elif kind == b"%":
        values = 2 * int(size)
    elif kind == b"|":
        # Attributes stand before the value that they belong to.
        values = 2 * int(size) + 1
    else:
        values = 0
    return line + b"".join(read_frame(stream) for _ in range(values))


@dataclass
class _Rule:
    """Applies to the next `left` matching requests; None: to all of them."""

    left: int | None = 0
    match: bytes | None = None

    def takes(self, request: bytes) -> bool:
        if self.left == 0 or (self.match is not None and self.match not in request):
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass(frozen=True)
class _Plan:
    """What becomes of one request."""

    drop_request: bool = False
    drop_reply: bool = False
    delay: float = 0.0


class _Connection:
    """One client and its own connection to Redis: a thread for each direction."""

    def __init__(self, proxy: RedisProxy, client: socket.socket, upstream: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream = upstream
        self._lock = threading.Lock()
        self._backlog: list[tuple[bytes, _Plan]] = []
        self._owed: deque[_Plan] = deque()
        self._client_gone = False

    @property
    def held(self) -> int:
        with self._lock:
            return len(self._backlog)

    def run(self) -> None:
        replies = threading.Thread(target=self._pump_replies, daemon=True)
        replies.start()
        self._pump_requests()
        replies.join()

    def flush(self) -> None:
        with self._lock, suppress(OSError):
            for request, plan in self._backlog:
                self._send(request, plan)
            self._backlog.clear()
            if self._client_gone:
                self._upstream.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in (self._client, self._upstream):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _pump_requests(self) -> None:
        with self._client.makefile("rb") as stream, suppress(OSError, EOFError):
            while True:
                request = read_frame(stream)
                plan = self._proxy.arrived(request)
                if plan.drop_request:
                    self._proxy.count_drop()
                    self.close()
                    return
                with self._lock:
                    if self._backlog or self._proxy.holds(request):
                        self._backlog.append((request, plan))
                    else:
                        self._send(request, plan)
        with self._lock, suppress(OSError):
            self._client_gone = True
            if not self._backlog:
                # Half a close only, so that Redis still runs what has been sent.
                self._upstream.shutdown(socket.SHUT_WR)

    def _send(self, request: bytes, plan: _Plan) -> None:
        self._owed.append(plan)
        self._upstream.sendall(request)

    def _pump_replies(self) -> None:
        with self._upstream.makefile("rb") as stream, suppress(OSError, EOFError):
            while True:
                reply = read_frame(stream)
                # Nobody asked for a push message: it is passed on and answers no request.
                unasked = reply.startswith(b">") or not self._owed
                plan = _Plan() if unasked else self._owed.popleft()
                if plan.drop_reply:
                    self._proxy.count_drop()
                    break
                if plan.delay:
                    self._proxy.wait(plan.delay)
                with suppress(OSError):
                    self._client.sendall(reply)
        self.close()
