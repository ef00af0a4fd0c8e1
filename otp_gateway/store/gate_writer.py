"""Writes to the send gate in the background: the credit of logins, and further messages of sends."""

from __future__ import annotations

import time
from collections.abc import Callable

from otp_gateway.events import Batch
from otp_gateway.store.gate import GateStore

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
