"""Writes to the send gate in the background: credit of logins, further messages, charges of unmade sends."""

from __future__ import annotations

import time
from collections.abc import Callable

from otp_gateway.events import Batch, UnusedCharge
from otp_gateway.store.client import RedisClient
from otp_gateway.store.gate import GateStore
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

# Logins of one call.
AT_ONCE = 50
# For how long a call may be repeated: less than Redis remembers it.
FORGOTTEN_SECONDS = 3_000.0


class CreditWriter:
    """Gives the credit of logins back, and counts in the budget what sends have cost beyond one message.

    A writer of the recorder. A killed worker loses what it has not written: the events of two seconds.
    """

    def __init__(self, gate: GateStore, warn: Callable[[int], None]) -> None:
        """``warn``: called with the percent of the budget that further messages have reached."""
        self._gate = gate
        self._warn = warn
        # The last batch that failed, and when it came first.
        self._failed = ("", 0.0)

    def write(self, batch: Batch) -> None:
        """Write what the logins and the sends of the batch need. Raises ``StoreUnavailable``."""
        earned = [event.earned for event in batch.logins if event.earned]
        # A send has paid for one message. A backend that was unsure may have sent another one.
        messages = sum(max(0, event.attempts - 1) for event in batch.sends) if self._gate.is_on else 0
        known, since = self._failed
        if known != batch.id:
            self._failed = (batch.id, time.monotonic())
        elif time.monotonic() - since > FORGOTTEN_SECONDS:
            # Redis no longer knows whether it has run this batch. Credit is lost rather than given twice.
            return
        if messages:
            reached = self._gate.give_back(f"{batch.id}:messages", [], messages)
            if reached:
                self._warn(reached)
        for start in range(0, len(earned), AT_ONCE):
            self._gate.give_back(f"{batch.id}:{start}", earned[start : start + AT_ONCE])


class UnusedChargeWriter:
    """On a cluster, gives the charges of sends back that got no answer from Redis. A writer of the recorder.

    It runs after the deadline of issue.lua, so a send that is not in the phone's log by then is never made. A
    send in the log keeps its charge, because a login with its code gives this charge back.
    """

    def __init__(self, gate: GateStore, redis: RedisClient, lifetime: int) -> None:
        """``lifetime``: seconds for which a code is valid. The log keeps each send for at least as long."""
        self._gate = gate
        self._redis = redis
        self._longest = min(FORGOTTEN_SECONDS, lifetime)

    def write(self, batch: Batch) -> None:
        """Give back the charges of the batch. Raises ``StoreUnavailable``."""
        for unused in batch.unused:
            # Later, the log of the phone proves nothing. It is better to lose credit than to give it twice.
            is_old = time.monotonic() - unused.began > self._longest
            if not is_old and not (unused.unsure and self._is_in_log(unused)):
                self._gate.cancel_now(unused)

    def _is_in_log(self, unused: UnusedCharge) -> bool:
        phone, mark = PhoneKeys(unused.pid), f":{unused.call_id}:".encode()
        with available():
            logs = [self._redis.lrange(lane.sends, 0, -1) for lane in (phone, phone.of_devices)]
        return any(mark in entry for log in logs for entry in log)
