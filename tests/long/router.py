"""Heroku's router: it keeps connections to dynos for 90 s, and never sends a request twice."""

from __future__ import annotations

import http.client
import random
import select
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from uuid import uuid4

from tests.support.servers import LoopbackServer

# The router's own address: the gateway's peer.
ADDRESS = "127.0.0.9"
# The router reuses an idle connection to a dyno for so long.
KEEP_SECONDS = 90.0
# The router looks for a dyno that accepts a connection for so long.
CONNECT_SECONDS = 30.0
REPLY_SECONDS = 30.0


class Router:
    """Serves https on 127.0.0.1 and forwards each request to one of its dynos; a context manager.

    ``lost``: requests that a dyno got and did not answer, by error. They are the app's fault.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.lost: Counter[str] = Counter()
        # Requests that went out on a connection that had been used before.
        self.reused = 0
        self._tls = tls
        self._ports: list[int] = []
        self._idle: dict[int, list[tuple[http.client.HTTPConnection, float]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._serve)

    @property
    def port(self) -> int:
        """The port of https."""
        return self._server.port

    def add(self, port: int) -> None:
        """Route requests to this dyno, too. It is up when it accepts a connection."""
        with self._lock:
            self._ports.append(port)

    def remove(self, port: int) -> None:
        """Route no more requests to it."""
        with self._lock:
            self._ports.remove(port)
            idle = self._idle.pop(port, [])
        for connection, _ in idle:
            connection.close()

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Send it once to a random dyno; the reply, or the platform's own 503."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                port = random.choice(self._ports or [0])
            connection = self._take(port) if port else None
            if connection is None:
                # None or refused: the request goes to another dyno, or to this one when it is up.
                time.sleep(0.05)
                continue
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                reply = Reply(response.status, response.getheaders(), response.read())
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.lost[f"{method} {path}: {type(error).__name__}"] += 1
                connection.close()
                return Reply(503, [("Content-Type", "text/html")], b"H13 or H18")
            self._give_back(port, connection, closes=response.will_close)
            return reply
        return Reply(503, [("Content-Type", "text/html")], b"H21 or H99")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        for port in list(self._ports):
            self.remove(port)

    def _take(self, port: int) -> http.client.HTTPConnection | None:
        """A connection to the dyno: an idle one, or a new one. None if the dyno accepts none."""
        now = time.monotonic()
        with self._lock:
            idle = self._idle[port] = [each for each in self._idle[port] if each[1] > now - KEEP_SECONDS]
            while idle:
                connection = idle.pop(random.randrange(len(idle)))[0]
                # The dyno has closed it: a router sees this, too.
                if not _is_closed(connection):
                    self.reused += 1
                    return connection
                connection.close()
        connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=REPLY_SECONDS, source_address=(ADDRESS, 0)
        )
        try:
            connection.connect()
        except OSError:
            connection.close()
            return None
        return connection

    def _give_back(self, port: int, connection: http.client.HTTPConnection, *, closes: bool) -> None:
        with self._lock:
            if not closes and port in self._ports:
                self._idle[port].append((connection, time.monotonic()))
                return
        connection.close()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        with suppress(OSError), self._tls.wrap_socket(connection, server_side=True) as wrapped:
            _Handler(self, wrapped, address, self._server)


class Reply:
    """The response to the client."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(
        self, router: Router, connection: socket.socket, address: Any, server: LoopbackServer
    ) -> None:
        self._router = router
        super().__init__(connection, address, server)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        claimed = headers.pop("X-Forwarded-For", "")
        headers |= {
            "X-Forwarded-For": ", ".join(filter(None, [claimed, str(self.client_address[0])])),
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Port": "443",
            "X-Request-Start": str(int(time.time() * 1000)),
            "X-Request-Id": headers.get("X-Request-Id") or str(uuid4()),
            "Via": "1.1 heroku-router",
        }
        reply = self._router.forward(self.command, self.path, headers, body)
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_GET  # noqa: N815  # http.server names its methods so

    def log_message(self, *_: Any, **__: Any) -> None:
        pass


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the peer has closed an idle connection."""
    # An idle connection has only its end to read.
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])
