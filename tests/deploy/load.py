"""People who log in without pause: each with a new phone, a code by SMS, a login, and a call of `me`."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import requests

from tests.support import load
from tests.support.kavenegar import KavenegarEmulator
from tests.support.nginx import Nginx
from tests.support.redis_server import wait_until

OTP = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
ME = "/api/v1/usr/me"
# The pause between two logins of one thread. It leaves the machine's cores to the gateways that start.
_PAUSE = 0.02
_PATIENCE = 60.0


class Load(load.Load):
    """Logins through nginx from several threads at once, from start to end of a ``with`` block.

    `answered` counts by path the requests that got their 200. `failures` lists every other request with its
    result.
    """

    def __init__(self, nginx: Nginx, emulator: KavenegarEmulator, threads: int = 4) -> None:
        super().__init__([self._run] * threads)
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self._nginx = nginx
        self._emulator = emulator
        self._phones = itertools.count()

    @property
    def total(self) -> int:
        """How many there were."""
        with self._lock:
            return self.answered.total() + len(self.failures)

    def go_on(self, more: int = 24) -> None:
        """Return when so many more requests have ended."""
        until = self.total + more
        wait_until(lambda: self.total >= until, f"{more} requests", _PATIENCE)

    def _run(self) -> None:
        with self._nginx.session() as session:
            while not self._over.is_set():
                self._login(session)
                self._over.wait(_PAUSE)

    def _login(self, session: requests.Session) -> None:
        phone = f"+98912{next(self._phones):07d}"
        if self._call(session, "POST", OTP, json={"phone_number": phone}) is None:
            return
        body = {"phone_number": phone, "code": self._emulator.code_for(phone)}
        tokens = self._call(session, "POST", VERIFY, json=body)
        if tokens is None:
            return
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        user = self._call(session, "GET", ME, headers=bearer)
        if user is not None and user["phone_number"] != phone:
            self._fail(f"{ME}: somebody else")

    def _call(
        self, session: requests.Session, method: str, path: str, **options: Any
    ) -> dict[str, Any] | None:
        try:
            reply = session.request(method, self._nginx.origin + path, timeout=60, **options)
        except requests.RequestException as error:
            self._fail(f"{path}: {error!r}")
            return None
        if reply.status_code != 200:
            self._fail(f"{path}: {reply.status_code} {reply.text[:300]}")
            return None
        with self._lock:
            self.answered[path] += 1
        found: dict[str, Any] = reply.json()
        return found

    def _fail(self, reason: str) -> None:
        with self._lock:
            self.failures.append(reason)
