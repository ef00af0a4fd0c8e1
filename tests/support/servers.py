"""Free ports, and the threaded loopback server that the emulator and the proxy use."""

from __future__ import annotations

import random
import socket
import sys
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# These ports are below the ephemeral range, so no outgoing connection takes a port between its choice and its
# use. A Redis Cluster node also listens on port + 10000, which is below that range, too.
_PORTS = range(12_000, 22_000)
_BUS_OFFSET = 10_000
# Parallel test processes may have the same seed of `random`; they must not choose the same ports.
_random = random.SystemRandom()
_handed_out: set[int] = set()


def free_port() -> int:
    """A free port, which this process has not returned before."""
    for _ in range(1000):
        port = _random.choice(_PORTS)
        if port not in _handed_out and _is_free(port) and _is_free(port + _BUS_OFFSET):
            _handed_out.add(port)
            return port
    raise RuntimeError("no free port found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class LoopbackServer(ThreadingMixIn, TCPServer):
    """A server on 127.0.0.1 and a free port. Each connection has a thread; all of them have ended after stop.

    `stop` sets `closing` first; handlers that wait for something wait for it, too.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, serve: Callable[[socket.socket, Any], object]) -> None:
        """`serve(connection, address)` runs in the connection's own thread."""
        super().__init__(("127.0.0.1", 0), BaseRequestHandler)
        self._serve = serve
        self.closing = threading.Event()
        self._connections: set[Any] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, close every connection and wait for their threads."""
        self.closing.set()
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._changed:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, timeout=5)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve it, here without a handler class."""
        self._serve(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Record the connection before its thread starts, so that `stop` misses none."""
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and remove it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._connections.discard(request)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection; report every other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
