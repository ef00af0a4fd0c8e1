"""One HTTP exchange with a deadline, which reports whether the request was sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed
from otp_gateway.senders.http import PlainSession

MAX_BODY = 256 * 1024
# The share of the time that connecting may take. The rest is for the reply: if connecting took all the time,
# a lost reply would look like a refused connection.
CONNECT_SHARE = 0.5
CONNECTIONS = 64


class Exchanger:
    """Posts forms over connections that are kept open. Each exchange has one deadline for everything.

    ``requests`` limits only single reads. It does not limit name resolution, or a provider that sends data
    slowly. So each exchange runs in its own thread. At the deadline the exchange is given up: its connection
    is closed, and a request that was not sent by then is never sent.
    """

    def __init__(self, prefix: str) -> None:
        """``prefix``: the beginning of every URL."""
        # KAVENEGAR_BASE_URL names the server, so the session must use no proxy of the environment.
        self._session = PlainSession()
        self._session.mount(prefix, _Adapter(pool_connections=1, pool_maxsize=CONNECTIONS))

    def post(
        self, url: str, form: Mapping[str, Any], headers: Mapping[str, str], deadline: float
    ) -> tuple[int, bytes]:
        """The HTTP status and the body, by ``deadline`` (``time.monotonic()`` seconds).

        Raises ``SmsFailed`` if the request was definitely not sent, ``SmsUnconfirmed`` otherwise. The errors
        hold no URL, no form and no original error, because those hold the key, the code and the phone.
        """
        attempt = _Attempt()
        outcome: list[tuple[int, bytes] | SendFailed] = []
        done = threading.Event()

        def run() -> None:
            _thread.attempt = attempt
            outcome.append(self._exchange(url, form, headers, deadline, attempt))
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
        self,
        url: str,
        form: Mapping[str, Any],
        headers: Mapping[str, str],
        deadline: float,
        attempt: _Attempt,
    ) -> tuple[int, bytes] | SendFailed:
        remaining = max(0.05, deadline - time.monotonic())
        try:
            with self._session.post(
                url,
                data=form,
                headers=headers,
                timeout=(remaining * CONNECT_SHARE, remaining),
                stream=True,
            ) as response:
                body = b""
                for chunk in response.iter_content(8192):
                    body += chunk
                    if len(body) > MAX_BODY or time.monotonic() > deadline:
                        return SmsUnconfirmed("unreadable")
                return response.status_code, body
        except Exception as error:  # noqa: BLE001  # a malformed reply can make the library raise any error
            failure = attempt.give_up(timed_out=isinstance(error, requests.Timeout))
            if failure.definite and isinstance(error, requests.exceptions.SSLError):
                return SmsFailed("tls", fault="configuration")
            return failure


class _Attempt:
    """Whether the first byte of a request was sent. A lock makes two threads agree on it."""

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
        """The error to report. From now on, nothing is sent any more."""
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
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
