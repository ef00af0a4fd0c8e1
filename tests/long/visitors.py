"""People who use the app on the imitation of Heroku, each over a connection to its router."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.long.heroku import App, Dyno, HerokuRedis
from tests.long.router import Router
from tests.support import load
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import wait_until

OTP, VERIFY, ME = "/api/v1/usr/otp", "/api/v1/usr/otp/verify", "/api/v1/usr/me"
THREADS = 6


@dataclass
class Platform:
    """The app, its Redis, its provider and its router."""

    app: App
    redis: HerokuRedis
    emulator: KavenegarEmulator
    router: Router
    certificate: Path
    dynos: list[Dyno] = field(default_factory=list)

    def boot(self, number: int) -> Dyno:
        """Start a dyno, and route requests to it as soon as it accepts connections."""
        self.dynos.append(dyno := self.app.dyno(number).start())
        self.router.add(dyno.port)
        return dyno

    def visit(self, address: str) -> Visitor:
        """A client at this address of the loopback network."""
        return Visitor(self, address)


class Visitor:
    """A client of the router, on one connection of its own; a context manager."""

    def __init__(self, platform: Platform, address: str) -> None:
        context = ssl.create_default_context(cafile=str(platform.certificate))
        self._connection = http.client.HTTPSConnection(
            "localhost", platform.router.port, context=context, timeout=60, source_address=(address, 0)
        )

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a reply; the platform's own errors have no JSON."""
        fields = {"Content-Type": "application/json"} | headers
        self._connection.request(method, path, None if body is None else json.dumps(body), fields)
        response = self._connection.getresponse()
        text = response.read()
        is_json = response.headers.get_content_subtype().endswith("json")
        return response.status, json.loads(text) if is_json else text.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Load(load.Load):
    """People who log in without pause, each with a phone and an address of their own; a context manager."""

    def __init__(self, platform: Platform) -> None:
        super().__init__([self._run] * THREADS)
        self.answers: Counter[str] = Counter()
        self._platform = platform
        self._numbers = itertools.count()

    def go_on(self, more: int = 60) -> None:
        """Return when so many more requests have been answered."""
        until = self.answers.total() + more
        wait_until(lambda: self.answers.total() >= until, f"{more} answers", 60)

    def _run(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                number = next(self._numbers)
            with self._platform.visit(
                f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"
            ) as one:
                self._login(one, f"+98912{number:07d}")

    def _login(self, one: Visitor, phone: str) -> None:
        if not self._is_answered("otp", one.call("POST", OTP, {"phone_number": phone})):
            return
        code = self._platform.emulator.code_for(phone)
        reply = one.call("POST", VERIFY, {"phone_number": phone, "code": code})
        if self._is_answered("verify", reply):
            bearer = {"Authorization": f"Bearer {reply[1]['access_token']}"}
            self._is_answered("me", one.call("GET", ME, **bearer))

    def _is_answered(self, step: str, reply: tuple[int, Any]) -> bool:
        status, body = reply
        code = body.get("code", "") if isinstance(body, dict) else body
        with self._lock:
            self.answers[f"{step} {status} {'' if status == 200 else code}".strip()] += 1
        return status == 200
