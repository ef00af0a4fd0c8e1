"""The decisions of the send gate in the last day, and the used part of the send budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from otp_gateway.credit import Decision, gate_count
from otp_gateway.model import GateRules, Window
from otp_gateway.store import keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.scripts import available
from otp_gateway.store.usage import DAY, UsageStore

# The same number as in credit.lua.
PARTS = 24
DECISIONS: tuple[Decision, ...] = ("free", "challenge", "solved", "paused")


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """The sends in one window of ``OTP_SEND_BUDGET``."""

    window: Window
    sends: int


class GateFigures:
    """Figures for people and for monitoring. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, usage: UsageStore, rules: GateRules) -> None:
        self._redis = redis
        self._usage = usage
        self._rules = rules

    def decisions(self) -> Counter[Decision]:
        """How often the gate made each decision within the last day, in the present mode.

        In ``observe``, ``challenge`` and ``paused`` are the sends that ``on`` would have refused.
        """
        buckets = self._usage.read(DAY)
        return Counter(
            {
                decision: sum(
                    bucket.counts.get(gate_count(self._rules.mode, decision), 0) for bucket in buckets
                )
                for decision in DECISIONS
            }
        )

    def budget(self) -> list[BudgetUse]:
        """The sends in each window of the budget now."""
        if not self._rules.budget:
            return []
        with available():
            seconds, micros = self._redis.time()
            found = self._redis.hgetall(keys.GATE_MONEY)
        now = int(seconds) * 1000 + int(micros) // 1000
        parts = [(*map(int, name.split(b"/")), int(sends)) for name, sends in found.items() if b"/" in name]
        return [BudgetUse(window, _used(window, parts, now)) for window in self._rules.budget]


def _used(window: Window, parts: Sequence[tuple[int, ...]], now: int) -> int:
    """The sends in those parts of the window that still count."""
    span = 1000 * window.seconds
    length = -(-span // PARTS)
    return sum(
        sends for other, number, sends in parts if other == span and (number + 1) * length + span > now
    )
