"""Kavenegar's SDK over our own transport: with a deadline, and without the key in any error."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kavenegar import KavenegarAPI

from otp_gateway.errors import SendFailed, SmsUnconfirmed
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.exchange import Exchanger, HttpRequest
from otp_gateway.senders.kavenegar.codes import refusal


class Kavenegar(KavenegarAPI):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's methods (``sms_send``, ``verify_lookup``, …) over our own ``_request``.

    They return the reply's ``entries`` and raise ``SmsFailed`` or ``SmsUnconfirmed``. Calls must be made
    inside ``with api.until(deadline)``. No error, log line or repr holds the API key.
    """

    def __init__(self, apikey: str, base_url: str, observer: Observer = UNOBSERVED) -> None:
        super().__init__(apikey)
        self._observer = observer
        self._path = f"{urlsplit(base_url).path.removesuffix('/v1')}/{self.version}"
        self._exchanger = Exchanger(base_url)
        self._local = threading.local()

    def __repr__(self) -> str:
        return "Kavenegar()"

    __str__ = __repr__

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Set the deadline for calls of the current thread in the block (``time.monotonic()`` seconds)."""
        self._local.deadline = deadline
        try:
            yield
        finally:
            del self._local.deadline

    def _request(self, action: str, method: str, params: dict[str, Any] | None = None) -> Any:
        call, began = f"{action}/{method}", time.monotonic()
        try:
            with self.watched(call):
                return self._exchange(action, method, params or {})
        finally:
            self._observer.provider_call(call, time.monotonic() - began)

    @contextmanager
    def watched(self, call: str) -> Iterator[None]:
        """Report a ``SendFailed`` that the block raises to the observer."""
        try:
            yield
        except SendFailed as error:
            self._observer.provider_error(call, error)
            raise

    def _exchange(self, action: str, method: str, params: dict[str, Any]) -> Any:
        path = f"{self._path}/{quote(self.apikey, safe='')}/{action}/{method}.json"
        form = urlencode({name: value for name, value in params.items() if value is not None}).encode()
        status, body = self._exchanger.send(
            HttpRequest("POST", path, form, self.headers), self._local.deadline
        )
        code, entries = _envelope(body)
        if code is None:
            raise SmsUnconfirmed("unreadable", fault="temporary" if status >= 500 else "unknown")
        if code != 200:
            raise refusal(code)
        return entries


def number(value: Any) -> int | None:
    """A whole number, which is given as a number or as text. None: the value is something else."""
    try:
        return int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def first_entry(entries: Any) -> dict[str, Any]:
    """The first entry of a list, or the only entry without a list. Raises ``SmsUnconfirmed``."""
    entry = entries[0] if isinstance(entries, list) and entries else entries
    if not isinstance(entry, dict):
        raise SmsUnconfirmed("unreadable")
    return entry


def _envelope(body: bytes) -> tuple[int | None, Any]:
    """The result code and the entries in the body. The HTTP status can be 200 for every result code."""
    try:
        envelope = json.loads(body)
        return number(envelope["return"]["status"]), envelope.get("entries")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None
