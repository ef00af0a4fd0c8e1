"""Writes to the send gate in the background: credit of logins, further messages, charges of unused sends."""

from __future__ import annotations

import time
from collections.abc import Callable

from otp_gateway.events import Batch, UnusedCharge
from otp_gateway.store.client import RedisClient
from otp_gateway.store.gate import GateStore
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

# The most logins in one call.
AT_ONCE = 50
# Seconds for which a call may be repeated. Redis remembers it for longer.
FORGOTTEN_SECONDS = 3_000.0


class CreditWriter:
    """A writer of the recorder: gives back the credit of logins, and counts further messages of sends.

    The budget counts a send as one message. If several backends have tried it, the further messages are
    counted here. If a worker is killed, the events of its last two seconds are lost.
    """

    def __init__(self, gate: GateStore, warn: Callable[[int], None]) -> None:
        """``warn``: called with the percent of the budget that further messages have reached."""
        self._gate = gate
        self._warn = warn
        # The last batch that failed, and the time of its first attempt.
        self._failed = ("", 0.0)

    def write(self, batch: Batch) -> None:
        """Give back the credit of the batch's logins, and count its messages. Raises ``StoreUnavailable``."""
        earned = [event.earned for event in batch.logins if event.earned]
        # The budget has counted one message of each send. A backend without a clear result may have sent
        # another one.
        messages = sum(max(0, event.attempts - 1) for event in batch.sends) if self._gate.is_on else 0
        known, since = self._failed
        if known != batch.id:
            self._failed = (batch.id, time.monotonic())
        elif time.monotonic() - since > FORGOTTEN_SECONDS:
            # Redis no longer knows whether it has run this batch. It is better to lose credit than to give it
            # twice.
            return
        if messages:
            reached = self._gate.give_back(f"{batch.id}:messages", [], messages)
            if reached:
                self._warn(reached)
        for start in range(0, len(earned), AT_ONCE):
            self._gate.give_back(f"{batch.id}:{start}", earned[start : start + AT_ONCE])


class UnusedChargeWriter:
    """A writer of the recorder: on a cluster, gives back the charges of sends that got no reply from Redis.

    It runs after the deadline of issue.lua. A send that is not in the phone's log at this time is never made.
    A send in the log keeps its charge, because a login with its code gives the charge back.
    """

    def __init__(self, gate: GateStore, redis: RedisClient, lifetime: int) -> None:
        """``lifetime``: seconds for which a code is valid. The log keeps each send for at least as long."""
        self._gate = gate
        self._redis = redis
        self._longest = min(FORGOTTEN_SECONDS, lifetime)

    def write(self, batch: Batch) -> None:
        """Give back the charges of the batch. Raises ``StoreUnavailable``."""
        for unused in batch.unused:
            # At a later time, the log does not show whether the send was made. It is better to lose credit
            # than to give it twice.
            is_old = time.monotonic() - unused.began > self._longest
            if not is_old and not (unused.unsure and self._is_in_log(unused)):
                self._gate.cancel_now(unused)

    def _is_in_log(self, unused: UnusedCharge) -> bool:
        phone, mark = PhoneKeys(unused.pid), f":{unused.call_id}:".encode()
        with available():
            logs = [self._redis.lrange(lane.sends, 0, -1) for lane in (phone, phone.of_devices)]
        return any(mark in entry for log in logs for entry in log)
