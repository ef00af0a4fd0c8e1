"""Two gateways of two workers each over one Redis, with a proxy that can lose and hold its commands."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from otp_gateway.store.keys import PhoneKeys
from tests.conftest import SECRET_KEY
from tests.support.calls import Calls
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, wait_until

WORKERS = 2
SMS_TIMEOUT = 2
CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")


class Site:
    """All that the soak runs, from start to end of a ``with`` block."""

    def __init__(self, **variables: str) -> None:
        self.redis = RedisServer()
        self.emulator = KavenegarEmulator()
        self.calls = Calls()
        self.codes = Codes(SECRET_KEY, 6)
        self.gateways: list[Gateway] = []
        self._variables = variables
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.redis)
            stack.enter_context(self.emulator)
            self.proxy = stack.enter_context(RedisProxy(self.redis.port, self.calls.note))
            # A connection that avoids the proxy, for the faults and for the checks.
            self.store = stack.enter_context(self.redis.client())
            self.gateways = [stack.enter_context(Gateway(self._environment(), workers=WORKERS)) for _ in "ab"]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def keys(self, phone: str) -> PhoneKeys:
        """The names of the phone's keys."""
        return PhoneKeys(self.codes.pid(PhoneNumber(phone)))

    def code_of(self, phone: str) -> str | None:
        """The code in the last message to the phone."""
        messages = self.emulator.messages_to(phone)
        found = CODE.search(messages[-1].text) if messages else None
        return found[0] if found else None

    def reload(self, gateway: Gateway) -> None:
        """Send HUP, and wait until no earlier worker is left."""
        old = workers_of(gateway)
        gateway.hup()
        wait_until(lambda: _replaced(gateway, old), "the new workers", timeout=60)

    def kill_worker(self, gateway: Gateway) -> None:
        """SIGKILL to one worker, and wait for its successor."""
        victim = min(workers_of(gateway))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: _replaced(gateway, {victim}), "the next worker", timeout=60)

    def _environment(self) -> dict[str, str]:
        return {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": self.proxy.url,
            "KAVENEGAR_API_KEY": self.emulator.api_key,
            "KAVENEGAR_BASE_URL": self.emulator.base_url,
            "SMS_TIMEOUT": str(SMS_TIMEOUT),
            "TRUSTED_PROXIES": "1",
            **self._variables,
        }


def workers_of(gateway: Gateway) -> set[int]:
    """The process ids of the workers that run now."""
    try:
        return set(map(int, Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()))
    except OSError:
        return set()


def _replaced(gateway: Gateway, old: set[int]) -> bool:
    now = workers_of(gateway)
    return len(now) == WORKERS and not now & old
