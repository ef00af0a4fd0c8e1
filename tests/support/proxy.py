"""A TCP proxy in front of Redis that loses, delays and holds commands when a test asks for it."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Self

from tests.support.servers import LoopbackServer

# The arguments are a request, Redis's reply, and the seconds until the client got the reply. The reply is
# None if there was none. The seconds are None if the client never got it. A second call with None corrects
# the first one: the client closed the connection so soon after the reply that it may have given up before.
OnReply = Callable[[bytes, bytes | None, float | None], object]
_SOON = 1.0


class RedisProxy:
    """Forward everything to the Redis on `upstream_port`, until a method changes that.

    A context manager. `match` selects the commands whose bytes contain it; None selects all, the handshake of
    a new connection (HELLO, CLIENT) included. Pipelines and RESP3 work. `on_reply` is called for each request
    when its fate is decided.
    """

    def __init__(self, upstream_port: int, on_reply: OnReply = lambda *_: None) -> None:
        self.upstream_port = upstream_port
        self.on_reply = on_reply
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
        """Its redis:// URL, database 0."""
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
        """How many requests that contain `match` have come, lost and held ones included."""
        with self._lock:
            return sum(match is None or match in request for request in self._requests)

    def drop_requests(self, n: int, match: bytes | None = None) -> None:
        """Lose the next `n` matching commands before Redis sees them; the connection closes."""
        with self._lock:
            self._request_drops = _Rule(n, match)

    def drop_replies(self, n: int, match: bytes | None = None) -> None:
        """Let the next `n` matching commands run, then close the connection instead of replying."""
        with self._lock:
            self._reply_drops = _Rule(n, match)

    def delay(self, seconds: float, match: bytes | None = None, n: int | None = None) -> None:
        """Keep the replies to the next `n` matching commands, by default to all, for `seconds`; 0 ends it."""
        with self._lock:
            self._seconds = seconds
            self._delays = _Rule(n, match)

    def hold(self, match: bytes | None = None) -> None:
        """Keep matching commands, and the bytes after them on their connection, from Redis.

        The client gets no answer. It may close its connection: `release` delivers its commands nevertheless.
        """
        with self._lock:
            self._holds = _Rule(None, match)

    def release(self) -> None:
        """Send all held commands to Redis; later ones are forwarded."""
        with self._lock:
            self._holds = _Rule()
            connections = list(self._connections)
        for connection in connections:
            connection.flush()

    def reset(self) -> None:
        """Forward again, and reset both counters; held commands are released."""
        with self._lock:
            self._request_drops = self._reply_drops = self._delays = _Rule()
            self._seconds = 0.0
            self._requests.clear()
            self._dropped = 0
        self.release()

    def disconnect(self) -> None:
        """Close every present connection; commands that are held on them are lost."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def start(self) -> None:
        """Accept connections."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening and close all connections; held commands are lost."""
        self._server.closing.set()
        self.disconnect()
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def arrived(self, request: bytes) -> _Plan:
        """Count a request and decide its fate, once."""
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
        """Sleep, but not after the proxy stops."""
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
        # Attributes come before the value that they belong to.
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
    """The fate of one request."""

    drop_request: bool = False
    drop_reply: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class _Owed:
    """A request whose reply has not come yet."""

    request: bytes
    plan: _Plan
    arrived: float


class _Connection:
    """One client and its own connection to Redis: a thread for each direction."""

    def __init__(self, proxy: RedisProxy, client: socket.socket, upstream: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream = upstream
        self._lock = threading.Lock()
        self._backlog: list[_Owed] = []
        self._owed: deque[_Owed] = deque()
        self._client_gone = False
        # The reply that was handed over last, and when, until another request comes.
        self._handed: tuple[_Owed, bytes, float] | None = None

    @property
    def held(self) -> int:
        with self._lock:
            return len(self._backlog)

    def run(self) -> None:
        replies = threading.Thread(target=self._pump_replies, daemon=True)
        replies.start()
        self._pump_requests()
        ended = time.monotonic()
        replies.join()
        if self._handed and ended - self._handed[2] < _SOON:
            owed, reply, _ = self._handed
            self._proxy.on_reply(owed.request, reply, None)

    def flush(self) -> None:
        with self._lock, suppress(OSError):
            while self._backlog:
                self._send(self._backlog.pop(0))
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
                self._handed = None
                plan = self._proxy.arrived(request)
                if plan.drop_request:
                    self._proxy.count_drop()
                    self._proxy.on_reply(request, None, None)
                    self.close()
                    return
                owed = _Owed(request, plan, time.monotonic())
                with self._lock:
                    if self._backlog or self._proxy.holds(request):
                        self._backlog.append(owed)
                    else:
                        self._send(owed)
        with self._lock, suppress(OSError):
            self._client_gone = True
            if not self._backlog:
                # Close only one direction, so that Redis still runs the commands that were sent.
                self._upstream.shutdown(socket.SHUT_WR)

    def _send(self, owed: _Owed) -> None:
        self._owed.append(owed)
        self._upstream.sendall(owed.request)

    def _pump_replies(self) -> None:
        with self._upstream.makefile("rb") as stream, suppress(OSError, EOFError):
            while True:
                reply = read_frame(stream)
                # A push message is not a reply to a request: it is passed on.
                if reply.startswith(b">") or not self._owed:
                    self._pass_on(reply)
                elif not self._answer(self._owed.popleft(), reply):
                    break
        self.close()
        with self._lock:
            lost = [*self._owed, *self._backlog]
        for owed in lost:
            self._proxy.on_reply(owed.request, None, None)

    def _answer(self, owed: _Owed, reply: bytes) -> bool:
        """Whether the connection continues."""
        if owed.plan.drop_reply:
            self._proxy.count_drop()
            self._proxy.on_reply(owed.request, reply, None)
            return False
        if owed.plan.delay:
            self._proxy.wait(owed.plan.delay)
        self._handed = (owed, reply, time.monotonic())
        passed = self._pass_on(reply)
        self._proxy.on_reply(owed.request, reply, time.monotonic() - owed.arrived if passed else None)
        return True

    def _pass_on(self, reply: bytes) -> bool:
        """Whether the client has received it."""
        try:
            self._client.sendall(reply)
        except OSError:
            return False
        return True
