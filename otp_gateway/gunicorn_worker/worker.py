"""The worker: the stages in which connections wait, and the time limit of each stage."""

from __future__ import annotations

import errno
import select
import selectors
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from otp_gateway.gunicorn_worker.connections import Connection, Stage
from otp_gateway.gunicorn_worker.refusals import Refusal

# Seconds that a new connection has, if there is no keep-alive.
FIRST_BYTE_SECONDS = 5
# Seconds from the first byte of a request to its last byte.
ARRIVAL_SECONDS = 10.0
# The most connections with an incomplete request. They use at most 500 x 96 KiB. Honest requests arrive in
# one piece.
MAX_ARRIVING = 500
# Seconds that a client has to read the last reply and to close its side.
LINGER_SECONDS = 2.0
MAX_DRAINED = 1024 * 1024
# If there is no body, the parser finds the next request at once.
DRAIN_SECONDS = 0.05
# A stopping worker accepts connections for so many seconds. A platform can send SIGTERM to all processes at
# once. After this time, the master has closed its listener. So a worker closes the last one, and no
# connection is left in it.
ACCEPT_SECONDS = 0.25
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Gives a thread only complete requests, and refuses the others with a problem document."""

    # Headers of each reply. ``make`` sets them.
    headers: Mapping[str, str] = {}

    @classmethod
    def make(cls, headers: Mapping[str, str]) -> type[Worker]:
        """A worker class whose refusals have these headers, too."""
        return type(cls.__name__, (cls,), {"headers": headers, "__module__": cls.__module__})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quits = False
        self._idle = Stage(max(self.cfg.keepalive, FIRST_BYTE_SECONDS))
        self._arriving = Stage(ARRIVAL_SECONDS)
        self._leaving = Stage(LINGER_SECONDS)
        # With TLS or HTTP/2, gunicorn itself must read the request. Then slow clients use threads.
        self._plain = not self.cfg.is_ssl and self.cfg.http2_cleartext == "off"

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection. It waits for its first request in the same way as for a later one."""
        if not self._plain:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
            connection = Connection(self.cfg, client, address, listener.getsockname())
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # gunicorn's worker would end, and all its requests with it.
                self._close_oldest()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EINVAL):
                raise
            return
        self.nr_conns += 1
        self._wait(self._idle, connection)
        self._make_room()

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Wait for the connection's next request, or for its client to close it."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        try:
            keep = fs.result()
            if keep:
                # The part of the next request that the client has already sent.
                conn.arrival.add(conn.parser.unreader.take_buffered())
                self._wait(self._idle, conn)
                self._look(conn)
            else:
                # gunicorn would wait for the client here, in the main loop.
                conn.sock.shutdown(socket.SHUT_WR)
                self._wait(self._leaving, conn)
        except Exception:  # noqa: BLE001  # as in gunicorn: whatever happened, this connection is over
            self._drop(conn)
        self._make_room()

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer one request, in a thread."""
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            # The client does not read. gunicorn would log a traceback.
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from None

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002  # gunicorn's
        """Answer a request that could not be parsed, with a problem document. Write a line into the log."""
        refusal = Refusal.of(exc, req)
        refusal.log(exc)
        with suppress(OSError):
            util.write_nonblock(client, refusal.to_bytes(self.headers))

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once, as after Ctrl-C, without waiting for requests."""
        # On a terminal, the signal comes from the terminal and from the master. Python prints an error if a
        # signal comes while it is set to SIG_IGN. So a function ignores it.
        for other in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(other, lambda *_: None)
        self.quits = True
        # The method of ThreadWorker is skipped. It shuts the pool down. If the signal interrupts the start
        # of a thread, it waits forever for a lock of the pool. The hook worker_exit needs no pool.
        super(ThreadWorker, self).handle_quit(sig, frame)

    def murder_pending(self) -> None:
        """Close the connections whose time is over. gunicorn calls this about once a second."""
        super().murder_pending()
        for stage in (self._idle, self._arriving, self._leaving):
            for connection in stage.expired():
                self._drop(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops.

        Idle connections then wait only a short time, because a request may already be sent.
        """
        super()._cap_keepalive(deadline)
        if self._plain:
            self._close_listeners()
        self._idle.shorten(STOP_KEEPALIVE_LINGER)

    def _close_listeners(self) -> None:
        """Accept what is in the queue, then refuse connections: a router then tries another gateway.

        gunicorn would keep the listener until its last request has ended. The kernel would go on filling the
        queue, and reset all of it.
        """
        until = time.monotonic() + ACCEPT_SECONDS
        self.set_accept_enabled(True)
        while (left := until - time.monotonic()) > 0:
            self.wait_for_and_dispatch_events(left)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            for _ in range(self.cfg.backlog):
                if not select.select([listener], [], [], 0)[0]:
                    break
                self.accept(listener)
            listener.close()

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Skip an unread body that has arrived.

        Do not wait for the rest, because the client has its reply.
        """
        if not isinstance(conn, Connection):
            return bool(super()._keepalive_after(conn, keepalive))
        if not keepalive:
            return False
        try:
            return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))
        except Exception:  # noqa: BLE001  # a broken body after the reply: a second reply would answer no request
            return False

    def _wait(self, stage: Stage, connection: Connection) -> None:
        connection.sock.setblocking(False)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._readable, connection))
        stage.add(connection)

    def _stop_waiting(self, connection: Connection) -> None:
        if connection.stage is not None:
            connection.stage.remove(connection)
            self.poller.unregister(connection.sock)

    def _readable(self, connection: Connection, _: Any) -> None:
        """Handle a connection with new bytes, or a connection whose client has closed its side."""
        if connection.stage is None:
            return  # closed by an earlier event of the same round
        data = connection.receive()
        if data is None:
            return
        if connection.stage is self._leaving:
            connection.drained += len(data)
            if not data or connection.drained > MAX_DRAINED:
                self._drop(connection)
            return
        connection.arrival.add(data)
        if data:
            self._look(connection)
        elif connection.arrival:
            self._hand_over(connection)  # the parser refuses half a request
        else:
            self._drop(connection)

    def _look(self, connection: Connection) -> None:
        """If a request has arrived completely, give it to a thread."""
        if not connection.arrival:
            return
        try:
            complete = connection.arrival.is_complete()
        except ParseException as error:
            connection.refused, complete = error, True
        if connection.arrival.wants_continue():
            with suppress(OSError):
                connection.sock.send(CONTINUE)
        if complete:
            self._hand_over(connection)
        elif connection.stage is self._idle:
            connection.stage.remove(connection)
            self._arriving.add(connection)
            if len(self._arriving) > MAX_ARRIVING and (oldest := self._arriving.oldest()):
                self._drop(oldest)

    def _hand_over(self, connection: Connection) -> None:
        self._stop_waiting(connection)
        self.enqueue_req(connection)

    def _drop(self, connection: Connection) -> None:
        with suppress(OSError, KeyError, ValueError):
            self._stop_waiting(connection)
        self.nr_conns -= 1
        connection.close()

    def _make_room(self) -> None:
        """Stay below the limit: at the limit, gunicorn accepts no connection."""
        while self.nr_conns >= self.worker_connections and self._close_oldest():
            pass

    def _close_oldest(self) -> bool:
        """Close the connection that has waited the longest. False if no connection waits."""
        for stage in (self._leaving, self._idle, self._arriving):
            if connection := stage.oldest():
                self._drop(connection)
                return True
        return False
