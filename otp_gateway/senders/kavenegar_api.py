"""Kavenegar's SDK with a transport that ends in time, reads the body first and keeps the key to itself."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from kavenegar import KavenegarAPI
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed

MAX_BODY = 256 * 1024
# Of an attempt's time, how much the connection may take: what is left tells a refusal from a lost reply.
CONNECT_SHARE = 0.5
CONNECTIONS = 64

CALLER = frozenset({411})
CONFIGURATION = frozenset({401, 403, 407, 412, 416, 418, 420, 424, 426, 427, 430, 432, 501, 607})
BUG = frozenset({400, 404, 405, 406, 413, 414, 415, 417, 419, 422, 428, 431})
TEMPORARY = frozenset({409, 429, 451})


def classify(code: int) -> SendFailed:
    """The error for a result code: whose fault it is, and whether surely nothing was sent."""
    for fault, codes in (
        ("caller", CALLER),
        ("configuration", CONFIGURATION),
        ("bug", BUG),
        ("temporary", TEMPORARY),
    ):
        if code in codes:
            return SmsFailed("refused", fault=fault, provider_code=code)
    fault = "temporary" if 500 <= code <= 599 else "unknown"
    return SmsUnconfirmed("refused", fault=fault, provider_code=code)


class Kavenegar(KavenegarAPI):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's methods (``sms_send``, ``verify_lookup``, …) over our own ``_request``.

    They return the reply's ``entries`` and raise ``SmsFailed`` or ``SmsUnconfirmed``. Calls must stand in
    ``with api.until(deadline)``. No error, log line or repr holds the API key.
    """

    def __init__(self, apikey: str, base_url: str) -> None:
        super().__init__(apikey)
        self._root = f"{base_url.removesuffix('/v1')}/{self.version}"
        self._session = requests.Session()
        # Neither ~/.netrc nor a proxy of the environment: KAVENEGAR_BASE_URL says where to go.
        self._session.trust_env = False
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS)
        self._session.mount(self._root, adapter)
        self._local = threading.local()

    def __repr__(self) -> str:
        return "Kavenegar()"

    __str__ = __repr__

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Calls of this thread in the block end by ``deadline`` (``time.monotonic()`` seconds)."""
        self._local.deadline = deadline
        try:
            yield
        finally:
            del self._local.deadline

    def _request(self, action: str, method: str, params: dict[str, Any] | None = None) -> Any:
        deadline: float = self._local.deadline
        url = f"{self._root}/{self.apikey}/{action}/{method}.json"
        status, body = _in_time(lambda: self._exchange(url, params or {}, deadline), deadline)
        return _entries(status, body)

    def _exchange(self, url: str, form: dict[str, Any], deadline: float) -> tuple[int, bytes]:
        """The HTTP status and the body, of at most ``MAX_BODY`` bytes."""
        left = max(0.05, deadline - time.monotonic())
        try:
            with self._session.post(
                url,
                data=form,
                headers=self.headers,
                timeout=(left * CONNECT_SHARE, left),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = b""
                for chunk in response.iter_content(8192):
                    body += chunk
                    if len(body) > MAX_BODY or time.monotonic() > deadline:
                        raise SmsUnconfirmed("unreadable")
                return response.status_code, body
        # The texts of these errors hold the URL and with it the key: none is kept as a cause.
        except requests.RequestException as error:
            raise _transport_error(error) from None


def _transport_error(error: requests.RequestException) -> SendFailed:
    if isinstance(error, requests.ConnectTimeout):
        return SmsFailed("unreachable", fault="temporary")
    if isinstance(error, requests.ConnectionError):
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", cause)
        if isinstance(reason, NewConnectionError):
            return SmsFailed("unreachable", fault="temporary")
        if isinstance(reason, HTTPError) and any(
            isinstance(arg, ssl.SSLCertVerificationError) for arg in reason.args
        ):
            return SmsFailed("certificate", fault="configuration")
    timed_out = isinstance(error, requests.Timeout)
    return SmsUnconfirmed("timeout" if timed_out else "dropped", fault="temporary")


def _in_time(work: Callable[[], tuple[int, bytes]], deadline: float) -> tuple[int, bytes]:
    """``work``'s outcome, or ``SmsUnconfirmed`` at the deadline, whatever it still does.

    A thread of its own is the only bound on all of it: a name server that does not answer, a provider that
    drips its headers byte by byte. One that is given up may still send; "unconfirmed" says just that.
    """
    outcome: list[tuple[int, bytes] | SendFailed] = []
    done = threading.Event()

    def run() -> None:
        try:
            outcome.append(work())
        except SendFailed as error:
            outcome.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="kavenegar", daemon=True).start()
    done.wait(max(0.0, deadline - time.monotonic()))
    if not outcome:
        raise SmsUnconfirmed("timeout", fault="temporary")
    result = outcome[0]
    if isinstance(result, SendFailed):
        raise result
    return result


def _entries(http_status: int, body: bytes) -> Any:
    """The entries of a good reply. The code in the body counts; some report HTTP 200 with every one."""
    try:
        envelope = json.loads(body)
        code = int(envelope["return"]["status"])
    except (ValueError, KeyError, TypeError, RecursionError):
        fault = "temporary" if http_status >= 500 else "unknown"
        raise SmsUnconfirmed("unreadable", fault=fault) from None
    if code != 200:
        raise classify(code)
    return envelope.get("entries")
