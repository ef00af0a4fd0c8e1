"""Connections that wait without a thread."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn

from otp_gateway.gunicorn_worker.arrival import Arrival

# A reply goes to the kernel at once, even if its client does not read. Only the files of /docs are larger.
SEND_BUFFER = 256 * 1024
# Seconds that each call may wait while it sends such a file.
SEND_SECONDS = 5
READ_BYTES = 64 * 1024


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection whose requests arrive completely before a thread parses them."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        # gunicorn would let the thread wait for the first byte.
        self.data_ready = True
        self.arrival = Arrival()
        self.refused: ParseException | None = None
        self.stage: Stage | None = None
        self.drained = 0

    def init(self) -> None:
        """Give the parser what has arrived. The worker calls this in the thread, before it parses."""
        super().init()
        if self.refused:
            raise self.refused
        self.parser.unreader.unread(self.arrival.take())

    def receive(self) -> bytes | None:
        """The bytes that have arrived. Empty: no more will come. None: there are none now."""
        try:
            data: bytes = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return data


class Stage:
    """Connections that wait for the same thing for at most so many seconds, the oldest first."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadlines: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: Connection) -> None:
        """Add a connection, which waits from now on."""
        connection.stage = self
        self._deadlines[connection] = time.monotonic() + self.seconds

    def remove(self, connection: Connection) -> None:
        """Remove a connection, which no longer waits."""
        connection.stage = None
        del self._deadlines[connection]

    def shorten(self, seconds: float) -> None:
        """Set the limit to ``seconds``, from now on for the connections that wait already."""
        self.seconds = min(self.seconds, seconds)
        latest = time.monotonic() + self.seconds
        self._deadlines = {one: min(deadline, latest) for one, deadline in self._deadlines.items()}

    def oldest(self) -> Connection | None:
        """The connection that has waited the longest."""
        return next(iter(self._deadlines), None)

    def expired(self) -> Iterator[Connection]:
        """The connections whose time is over."""
        now = time.monotonic()
        while (connection := self.oldest()) and self._deadlines[connection] <= now:
            yield connection
