"""One HTTP exchange that ends in time, and of which one knows whether the request left."""

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

MAX_BODY = 256 * 1024
# Of the time, how much the connection may take: what is left tells a refusal from a lost reply.
CONNECT_SHARE = 0.5
CONNECTIONS = 64


class Exchanger:
    """Posts forms over kept connections, each exchange bounded as a whole.

    ``requests`` bounds single reads; name resolution and a provider that drips bytes have no bound at all. So
    each exchange runs in a thread of its own, and is given up at its deadline: the line is hung up, and a
    request that had not left by then never leaves.
    """

    def __init__(self, prefix: str) -> None:
        """``prefix``: what all addresses begin with."""
        self._session = _Session()
        # Neither ~/.netrc nor a proxy of the environment: KAVENEGAR_BASE_URL says where to go.
        self._session.trust_env = False
        self._session.mount(prefix, _Adapter(pool_connections=1, pool_maxsize=CONNECTIONS))

    def post(
        self, url: str, form: Mapping[str, Any], headers: Mapping[str, str], deadline: float
    ) -> tuple[int, bytes]:
        """The HTTP status and the body, by ``deadline`` (``time.monotonic()`` seconds).

        Raises ``SmsFailed`` where the request surely never left, ``SmsUnconfirmed`` otherwise. Neither holds
        the address, the form or the error that they come from: those hold the key, the code and the phone.
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
        except RuntimeError:  # the machine has no thread left
            raise SmsFailed("unreachable", fault="temporary") from None
        done.wait(max(0.0, deadline - time.monotonic()))
        result = outcome[0] if outcome else attempt.failure(timed_out=True)
        if not outcome:
            attempt.hang_up()
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
        left = max(0.05, deadline - time.monotonic())
        try:
            with self._session.post(
                url,
                data=form,
                headers=headers,
                timeout=(left * CONNECT_SHARE, left),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = b""
                for chunk in response.iter_content(8192):
                    body += chunk
                    if len(body) > MAX_BODY or time.monotonic() > deadline:
                        return SmsUnconfirmed("unreadable")
                return response.status_code, body
        except Exception as error:  # noqa: BLE001  # whatever a hostile reply makes the library raise
            failure = attempt.failure(timed_out=isinstance(error, requests.Timeout))
            if failure.definite and isinstance(error, requests.exceptions.SSLError):
                return SmsFailed("tls", fault="configuration")
            return failure


class _Attempt:
    """Whether the request's first byte has left, settled once between the two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._over = False
        self._line: socket.socket | None = None

    def leave(self, line: socket.socket) -> None:
        """Called before the first byte; raises where the attempt has been given up."""
        with self._lock:
            if self._over:
                raise TimeoutError
            self._left = True
            self._line = line

    def hang_up(self) -> None:
        """End the exchange's thread where it waits for a reply, however slowly that drips."""
        with self._lock, suppress(OSError):
            if self._line is not None:
                self._line.shutdown(socket.SHUT_RDWR)

    def failure(self, *, timed_out: bool) -> SendFailed:
        """Give the attempt up; nothing leaves from now on."""
        with self._lock:
            self._over = True
            if not self._left:
                return SmsFailed("unreachable", fault="temporary")
        return SmsUnconfirmed("timeout" if timed_out else "dropped", fault="temporary")


_thread = threading.local()


class _Telling(HTTPConnection):
    """A connection that says when a request leaves: after the connection stands, TLS and all."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.attempt.leave(self.sock)
        super().send(data)


class _TellingTLS(_Telling, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Telling


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TellingTLS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """No redirect is followed; asked for one, requests would read the whole body and parse the target."""
        return
