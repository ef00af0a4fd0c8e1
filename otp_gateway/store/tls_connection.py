"""Connections to Redis over TLS that share one TLS context."""

from __future__ import annotations

import ssl
import time
from socket import socket
from threading import Lock
from typing import Any

from redis._parsers import _RESP2Parser
from redis.connection import SSLConnection
from redis.sentinel import SentinelManagedConnection

# Seconds until the certificates are read from their files again. They may have been renewed.
RENEW_SECONDS = 60.0


class SharedContext:
    """The TLS context of a pool, which all its connections use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made_at = 0.0
        self._context: ssl.SSLContext | None = None

    def get(self, connection: SSLConnection) -> ssl.SSLContext:
        """The context. The first connection, and later one connection a minute, makes it from its options."""
        with self._lock:
            if self._context is None or time.monotonic() - self._made_at > RENEW_SECONDS:
                self._context = make_context(connection)
                self._made_at = time.monotonic()
            return self._context

    def forget(self) -> None:
        """Make the next connection read the certificates again."""
        with self._lock:
            self._context = None


def make_context(connection: SSLConnection) -> ssl.SSLContext:
    """The context that redis-py makes for these options. REDIS_URL can have no other options of TLS."""
    context = ssl.create_default_context()
    context.check_hostname = connection.check_hostname
    context.verify_mode = connection.cert_reqs
    if connection.certfile or connection.keyfile:
        context.load_cert_chain(connection.certfile, connection.keyfile)
    if connection.ca_certs is not None:
        context.load_verify_locations(connection.ca_certs)
    return context


class TlsConnection(SSLConnection):
    """Uses the context of its pool.

    redis-py makes a context for each connection, and reads all certificates of the system for it. That takes
    more processor time than the rest of the connection, so many threads at once would miss their timeouts.
    """

    # The pool sets it on each connection that it makes.
    shared: SharedContext

    def __init__(self, **options: Any) -> None:
        # Not hiredis: with it, redis-py takes the session tickets of TLS 1.3 for a reply that no command
        # waits for, and closes the connection. A connection that sends a greeting does not have this problem.
        super().__init__(parser_class=_RESP2Parser, **options)

    def _wrap_socket_with_ssl(self, sock: socket) -> ssl.SSLSocket:
        try:
            return self.shared.get(self).wrap_socket(sock, server_hostname=self.host)
        except ssl.SSLError:
            self.shared.forget()
            raise


class SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    """The same to the primary that a sentinel names."""
