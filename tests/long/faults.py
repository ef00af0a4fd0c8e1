"""The faults of a soak: one after another, each ended before the next, and counted."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import redis

from tests.long.site import SMS_TIMEOUT, Site
from tests.support import kavenegar_faults as provider
from tests.support.kavenegar import Fault
from tests.support.redis_server import wait_until

# The gateways stop waiting for Redis after 0.9 s. One of these is much shorter, the other much longer.
SHORT, LONG = 0.3, 2.0
# The scripts for phones, without the limiter of addresses.
TRANSITIONS = b"otp:{"
ROUNDS = 10
PROVIDER: dict[str, Callable[[], Fault]] = {
    "refuses (418)": lambda: provider.code(418),
    "is broken (502)": lambda: provider.html(502),
    "sends another JSON": provider.no_return,
    "breaks off its JSON": lambda: provider.invalid_json(deliver=True),
    "is slow": lambda: provider.slow(SMS_TIMEOUT / 4),
    "is too slow": lambda: provider.slow(SMS_TIMEOUT * 1.5),
    "hangs": lambda: provider.hang(SMS_TIMEOUT * 1.5),
    "hangs after it has sent": lambda: provider.hang(SMS_TIMEOUT * 1.5, deliver=True),
    "drops": provider.drop,
    "drops after it has sent": lambda: provider.drop(deliver=True),
    "sends a body slowly": lambda: provider.drip_body(0.05),
    "sends headers slowly": lambda: provider.drip_headers(0.05),
    "sends without end": lambda: provider.huge(2),
}


class Faults:
    """Faults without pause for some seconds.

    In the first third both gateways are reloaded. Later only the second is, so that the workers of the first
    show whether they grow.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._thirds_over = 0
        self.counted: Counter[str] = Counter()
        self._deck: list[Callable[[], str]] = []
        redis_faults = [
            self._lose_requests, self._lose_replies, self._lose_every_reply, self._cut,
            self._kill_clients, self._pause_shortly, self._pause_long, self._hold_shortly, self._hold_long,
            self._delay,
        ]  # fmt: skip
        self._faults: list[Callable[[], str]] = [
            *redis_faults,
            *redis_faults,
            self._reload,
            self._kill_worker,
        ]
        self._faults += [self._provider(name) for name in PROVIDER]

    @property
    def kinds(self) -> int:
        """How many kinds there are."""
        return len(set(self._faults))

    def run(self, seconds: float) -> None:
        """Each fault comes once before any comes a second time, in a random order."""
        began = time.monotonic()
        quiet = threading.Event()
        while (passed := time.monotonic() - began) < seconds:
            self._thirds_over = int(3 * passed / seconds)
            if not self._deck:
                self._deck = random.sample(self._faults, len(self._faults))
            self.counted[self._deck.pop()()] += 1
            # Clients must also see the gateways recover.
            quiet.wait(random.uniform(0.2, 0.8))

    def _lose_requests(self) -> str:
        for _ in range(ROUNDS):
            self._site.proxy.drop_requests(random.randint(1, 2), TRANSITIONS)
            time.sleep(SHORT / 2)
        self._site.proxy.drop_requests(0)
        return "Redis: requests lost"

    def _lose_replies(self) -> str:
        # Only a few in a row, so that the call is found again in time.
        for _ in range(ROUNDS):
            self._site.proxy.drop_replies(random.randint(1, 2), TRANSITIONS)
            time.sleep(SHORT / 2)
        self._site.proxy.drop_replies(0)
        return "Redis: replies lost"

    def _lose_every_reply(self) -> str:
        self._site.proxy.drop_replies(10_000, b"EVALSHA")
        time.sleep(LONG)
        self._site.proxy.drop_replies(0)
        return "Redis: every reply lost for some time"

    def _cut(self) -> str:
        self._site.proxy.disconnect()
        return "Redis: connections cut"

    def _kill_clients(self) -> str:
        # The check's own connection is not among them.
        with suppress(redis.RedisError):
            self._site.store.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        return "Redis: CLIENT KILL"

    def _pause_shortly(self) -> str:
        return self._pause(SHORT, "Redis: stopped shortly")

    def _pause_long(self) -> str:
        return self._pause(LONG, "Redis: stopped beyond the timeout")

    def _pause(self, seconds: float, name: str) -> str:
        self._site.redis.pause()
        try:
            time.sleep(seconds)
        finally:
            self._site.redis.resume()
        return name

    def _hold_shortly(self) -> str:
        return self._hold(SHORT, "Redis: commands stuck shortly")

    def _hold_long(self) -> str:
        return self._hold(LONG, "Redis: commands stuck beyond the timeout")

    def _hold(self, seconds: float, name: str) -> str:
        # With the limiter's script stuck, few requests get as far as a transition.
        self._site.proxy.hold(random.choice((b"EVALSHA", TRANSITIONS, TRANSITIONS)))
        try:
            time.sleep(seconds)
        finally:
            self._site.proxy.release()
        return name

    def _delay(self) -> str:
        self._site.proxy.delay(0.1)
        time.sleep(2 * SHORT)
        self._site.proxy.delay(0)
        return "Redis: replies delayed"

    def _provider(self, name: str) -> Callable[[], str]:
        def fault() -> str:
            before = len(self._site.emulator.requests)
            self._site.emulator.set_fault(PROVIDER[name](), action="sms/send")
            # Until some sends have met the fault. All may be waiting for their timeout, or for the circuit
            # breaker.
            with suppress(TimeoutError):
                wait_until(lambda: len(self._site.emulator.requests) > before + 8, "sends", timeout=2)
            self._site.emulator.set_fault(None)
            return f"provider: {name}"

        return fault

    def _reload(self) -> str:
        first, second = self._site.gateways
        self._site.reload(second if self._thirds_over or random.random() < 0.5 else first)
        return "gateway: HUP"

    def _kill_worker(self) -> str:
        self._site.kill_worker(self._site.gateways[1])
        return "gateway: worker killed"
