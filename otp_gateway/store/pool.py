"""Pools of connections to Redis. They close the connections that their threads do not need.

redis-py's own pools keep every connection that they have opened. After one burst, they hold all places of a
Redis with a small ``maxclients``, and the other processes get none.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from redis import ConnectionPool
from redis.connection import Connection, ConnectionInterface
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool

from otp_gateway.store.error_labels import reason
from otp_gateway.store.tls_connection import SharedContext, TlsConnection

# Seconds after which an unused connection is closed. A call repeats its attempts for longer than this
# (store/scripts.py). So a process that finds all places taken gets a place in time.
IDLE_SECONDS = 0.3
# Seconds that a thread waits for a place if Redis, or the pool's own limit, has no place left.
WAIT_SECONDS = 0.3
# Seconds between two attempts of this process to open a connection to a Redis that has no place left.
PAUSE_SECONDS = 0.02
# Threads of a worker that call Redis and answer no request: the provider watch and the recorder.
BACKGROUND_THREADS = 2


def most_connections(threads: int) -> int:
    """The most connections that a process uses at the same time, if ``threads`` threads answer requests."""
    return threads + BACKGROUND_THREADS


def greet(connection: Connection) -> None:
    """Log in over a new connection, and read the refusal of a server that has no place left.

    redis-py would otherwise find the unread refusal, and report only that the connection is not ready.
    """
    connection.on_connect()  # type: ignore[no-untyped-call]  # redis-py has left it untyped
    if connection.can_read():
        connection.read_response()


class Pool(ConnectionPool):
    """Closes a connection that no thread has used for ``IDLE_SECONDS``.

    If Redis has no place left, a thread waits for a connection of this pool that becomes free.
    The unused connections are a stack. Open ones are above closed ones, and the longest unused of the open
    ones is the lowest.
    """

    def reset(self) -> None:
        """Begin without connections: at first, and after a fork."""
        # Another thread of the parent process may have held the old lock when the process forked.
        self._lock = threading.RLock()
        self._freed = threading.Condition(self._lock)
        self._unused_since: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        # For each open connection that has not received a reply yet: the time at which it was opened.
        self._opened_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        # Only one thread closes connections. It ends when no unused connection is open.
        self._closer_runs = False
        self._full_until = 0.0
        self._waiting = 0
        self._tls = SharedContext()
        super().reset()

    def make_connection(self) -> ConnectionInterface:
        """Make a connection. If it uses TLS, it shares the TLS context of the others."""
        connection = super().make_connection()
        if isinstance(connection, TlsConnection):
            connection.shared = self._tls
        return connection

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Connection:  # noqa: ARG002  # redis-py's names; it uses none of them
        """A connection for one thread: an unused one, or a new one.

        Raises redis-py's ``ConnectionError`` if Redis has no place left for ``WAIT_SECONDS``.
        """
        self._checkpid()
        ready: Connection | None = self._take_ready()
        if ready:
            return ready
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            opens = self._wait_while_full(give_up)
            try:
                connection = super().get_connection()
            except RedisConnectionError as error:
                now = time.monotonic()
                if now >= give_up or not (reason(error) == "connections" or self._has_open()):
                    raise
                self._full_until = now + PAUSE_SECONDS
            else:
                if opens:
                    self._opened_at[connection] = time.monotonic()
                return connection

    def release(self, connection: Connection) -> None:  # type: ignore[override]  # as redis-py's own pool
        """Take a connection back. It is closed later, unless a thread uses it again before that."""
        self._checkpid()
        with self._lock:
            free = self._available_connections
            if connection in self._in_use_connections and self.owns_connection(connection):
                # This is redis-py's own method without its telemetry, which takes more time than the rest.
                self._in_use_connections.remove(connection)
                free.append(connection)
            else:
                super().release(connection)
            if not free or free[-1] is not connection:
                # The pool does not own it: the process has forked, or the sentinel has named another primary.
                return
            now = time.monotonic()
            opened_at = self._opened_at.pop(connection, None)
            if not connection.is_connected:
                free.insert(0, free.pop())
                if opened_at is not None and now - opened_at < WAIT_SECONDS:
                    # Redis refused the connection with its reply to the first command.
                    self._full_until = now + PAUSE_SECONDS
                return
            if opened_at is not None:
                self._full_until = 0.0
            self._unused_since[connection] = now
            self._freed.notify()
            start, self._closer_runs = not self._closer_runs, True
        if start:
            self._start_closer()

    def _take_ready(self) -> Any:
        """An open and unused connection, without redis-py's telemetry. None if all are in use."""
        with self._lock:
            if self._waiting or not self._has_unused():
                return None
            connection: Any = self._available_connections.pop()
            self._in_use_connections.add(connection)
        try:
            # There are unread data: a reply that no thread waited for, or the end of a connection that the
            # server closed.
            unread = connection.can_read()
        except (RedisConnectionError, OSError):
            unread = True
        if not unread:
            return connection
        connection.disconnect()
        self.release(connection)
        return None

    def _wait_while_full(self, give_up: float) -> bool:
        """Wait until an unused connection is open, or this thread may open one. True: it must open one."""
        with self._freed:
            # Threads that have waited longer go first. A thread that has just released a connection goes
            # last.
            my_turn = not self._waiting
            while not (my_turn and self._has_unused()):
                wait = min(self._full_until, give_up) - time.monotonic()
                if wait <= 0:
                    if self._full_until:
                        # Only this thread tries to open a connection now. The other threads wait for another
                        # pause.
                        self._full_until = time.monotonic() + PAUSE_SECONDS
                    return True
                self._waiting += 1
                self._freed.wait(wait)
                self._waiting -= 1
                my_turn = True
            return False

    def _has_open(self) -> bool:
        """Whether Redis serves this process now.

        If it does, a refusal probably means that no place is left.
        """
        with self._lock:
            return self._has_unused() or any(each.is_connected for each in self._in_use_connections)

    def _has_unused(self) -> bool:
        return bool(self._available_connections) and self._available_connections[-1].is_connected

    def _start_closer(self) -> None:
        try:
            threading.Thread(target=self._run_closer, name="redis-pool", daemon=True).start()
        except RuntimeError:
            # The process is ending, or the machine can start no more threads.
            with self._lock:
                self._close_unused(time.monotonic())
                self._closer_runs = False

    def _run_closer(self) -> None:
        while True:
            with self._lock:
                following = self._close_unused(time.monotonic() - IDLE_SECONDS)
                if following is None:
                    self._closer_runs = False
                    return
            time.sleep(max(0.0, following + IDLE_SECONDS - time.monotonic()))

    def _close_unused(self, since: float) -> float | None:
        """Close the connections that are unused since this time. Return when to close the next one."""
        for connection in self._available_connections:
            if connection.is_connected:
                if self._unused_since[connection] > since:
                    return self._unused_since[connection]
                connection.disconnect()
        return None


class SentinelPool(Pool, SentinelConnectionPool):
    """A pool of connections to the primary that a sentinel names."""
