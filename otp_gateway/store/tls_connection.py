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

# Seconds until the certificate files are read again. The operator can renew the certificates at any time.
RENEW_SECONDS = 60.0


class SharedContext:
    """The TLS context of a pool, which all its connections use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made_at = 0.0
        self._context: ssl.SSLContext | None = None

    def get(self, connection: SSLConnection) -> ssl.SSLContext:
        """The context.

        The first connection makes it from its options; later, one connection a minute does.
        """
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
    """The context that redis-py makes for these options. REDIS_URL cannot have other TLS options."""
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

    redis-py makes a context for each connection, and reads all certificates of the system for it. This takes
    more processor time than the rest of the connection. If many threads did so together, they would miss
    their timeouts.
    """

    # The pool sets it on each connection that it makes.
    shared: SharedContext

    def __init__(self, **options: Any) -> None:
        # hiredis is not used. With it, redis-py mistakes the session tickets of TLS 1.3 for an unexpected
        # reply, and closes the connection. (A connection that sends a greeting first does not have this
        # problem.)
        super().__init__(parser_class=_RESP2Parser, **options)

    def _wrap_socket_with_ssl(self, sock: socket) -> ssl.SSLSocket:
        try:
            return self.shared.get(self).wrap_socket(sock, server_hostname=self.host)
        except ssl.SSLError:
            self.shared.forget()
            raise


class SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    """A connection over TLS to the primary that a sentinel names."""
