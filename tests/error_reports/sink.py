"""A server that receives reports as Sentry does, over real HTTP."""

from __future__ import annotations

import gzip
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Self

from tests.support.redis_server import wait_until
from tests.support.servers import LoopbackServer

if TYPE_CHECKING:
    import socket

PUBLIC_KEY = "0123456789abcdef0123456789abcdef"


class Sink:
    """A context manager. While ``hang`` is set, it takes reports and does not answer."""

    def __init__(self) -> None:
        self.hang = threading.Event()
        self.arrived = threading.Semaphore(0)
        self._server = LoopbackServer(partial(_Handler, self))
        self._lock = threading.Lock()
        self._envelopes: list[str] = []

    @property
    def dsn(self) -> str:
        """The value of SENTRY_DSN."""
        return f"http://{PUBLIC_KEY}@127.0.0.1:{self._server.port}/4815"

    @property
    def envelopes(self) -> list[str]:
        """All envelopes, decoded, with the headers of their requests; one text for each."""
        with self._lock:
            return list(self._envelopes)

    def events(self) -> list[dict[str, Any]]:
        """The events in the envelopes."""
        found = []
        for envelope in self.envelopes:
            lines = [json.loads(line) for line in envelope.split("\n\n", 1)[1].splitlines() if line]
            # The envelope's head, then a head and a body for each item.
            heads = lines[1::2]
            found += [body for head, body in zip(heads, lines[2::2], strict=True) if head["type"] == "event"]
        return found

    def wait(self, count: int) -> list[dict[str, Any]]:
        """The events, when there are so many."""
        wait_until(lambda: len(self.events()) >= count, f"{count} events")
        return self.events()

    def receive(self, envelope: str) -> None:
        with self._lock:
            self._envelopes.append(envelope)
        self.arrived.release()
        while self.hang.is_set() and not self._server.closing.wait(0.02):
            pass

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, sink: Sink, connection: socket.socket, address: Any) -> None:
        self._sink = sink
        super().__init__(connection, address, sink._server)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self._sink.receive(f"{self.path}\n{self.headers}".strip() + "\n\n" + body.decode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass
