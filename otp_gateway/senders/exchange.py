"""One HTTP exchange with a deadline, which reports whether the request was sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import certifi
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError
from urllib3.util import parse_url

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed

MAX_BODY = 256 * 1024
# The share of the time in which a connection must be made. The rest is for the reply. Otherwise a lost reply
# would look like a refused connection.
CONNECT_SHARE = 0.5
CONNECTIONS = 64


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """``path`` may have a query. No repr, because each part can hold the key, the code or the phone."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


class Exchanger:
    """Makes HTTP requests over connections that are kept open. Each exchange has one deadline.

    urllib3 limits only single reads. It does not limit name resolution, or a provider that sends data slowly.
    So each exchange runs in its own thread. At the deadline, the connection is closed, and a request that was
    not sent yet is never sent. An exchange follows no redirect, and uses no proxy and no password of the
    environment.
    """

    def __init__(self, server: str) -> None:
        """``server``: a URL. All requests go to its scheme, host and port, with its user and password."""
        parts = parse_url(server)
        self._headers = make_headers(basic_auth=unquote(parts.auth)) if parts.auth else {}
        host, port = parts.host or "", parts.port
        self._pool: HTTPConnectionPool = _Pool(host, port, maxsize=CONNECTIONS)
        if parts.scheme == "https":
            self._pool = _TLSPool(host, port, maxsize=CONNECTIONS, ca_certs=certifi.where())

    def send(self, request: HttpRequest, deadline: float) -> tuple[int, bytes]:
        """The HTTP status and the body, by ``deadline`` (``time.monotonic()`` seconds).

        Raises ``SmsFailed`` if the request was definitely not sent, ``SmsUnconfirmed`` otherwise. The errors
        hold no URL, no body and no original error, because those hold the key, the code and the phone.
        """
        attempt = _Attempt()
        outcome: list[tuple[int, bytes] | SendFailed] = []
        done = threading.Event()

        def run() -> None:
            _thread.attempt = attempt
            outcome.append(self._exchange(request, deadline, attempt))
            done.set()

        try:
            threading.Thread(target=run, name="sms", daemon=True).start()
        except RuntimeError:  # the machine can start no more threads
            raise SmsFailed("unreachable", fault="temporary") from None
        done.wait(max(0.0, deadline - time.monotonic()))
        result = outcome[0] if outcome else attempt.give_up(timed_out=True)
        if not outcome:
            attempt.close()
        if isinstance(result, SendFailed):
            raise result
        return result

    def _exchange(
        self, request: HttpRequest, deadline: float, attempt: _Attempt
    ) -> tuple[int, bytes] | SendFailed:
        remaining = max(0.05, deadline - time.monotonic())
        try:
            response = self._pool.urlopen(
                request.method,
                request.path,
                body=request.body,
                headers={**self._headers, **request.headers},
                timeout=Timeout(connect=remaining * CONNECT_SHARE, read=remaining),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                read = b""
                for chunk in response.stream(8192, decode_content=True):
                    read += chunk
                    if len(read) > MAX_BODY or time.monotonic() > deadline:
                        return SmsUnconfirmed("unreadable")
                return response.status, read
            finally:
                # If the reply was read to its end, the connection is in the pool already, and stays open.
                response.close()
        except Exception as error:  # noqa: BLE001  # a malformed reply can make the library raise any error
            failure = attempt.give_up(timed_out=isinstance(error, HTTPTimeoutError))
            if failure.definite and isinstance(error, SSLError):
                return SmsFailed("tls", fault="configuration")
            return failure


class _Attempt:
    """Whether the first byte of a request was sent. A lock ensures that two threads have the same answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = False
        self._given_up = False
        self._connection: socket.socket | None = None

    def mark_sent(self, connection: socket.socket) -> None:
        """Must be called before the first byte is sent. Raises if the attempt was given up."""
        with self._lock:
            if self._given_up:
                raise TimeoutError
            self._sent = True
            self._connection = connection

    def close(self) -> None:
        """Close the connection, so that the exchange's thread stops waiting for a reply."""
        with self._lock, suppress(OSError):
            if self._connection is not None:
                self._connection.shutdown(socket.SHUT_RDWR)

    def give_up(self, *, timed_out: bool) -> SendFailed:
        """Give the attempt up, and return the error to report. From now on, no byte is sent."""
        with self._lock:
            self._given_up = True
            if not self._sent:
                return SmsFailed("unreachable", fault="temporary")
        return SmsUnconfirmed("timeout" if timed_out else "dropped", fault="temporary")


_thread = threading.local()


class _Connection(HTTPConnection):
    """A connection that marks the attempt as sent: after the TLS handshake, before the first byte."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.attempt.mark_sent(self.sock)
        super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    """Such a connection over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
