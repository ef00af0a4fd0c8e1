"""The state of phones, by their keyed hashes. The panel and the commands show it to support staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from otp_gateway.model import Policy
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.lane_state import REPLIES, LaneState, add_lane_reads, read_lane
from otp_gateway.store.outcomes import KEPT, Outcome, outcome_of
from otp_gateway.store.scripts import available


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class PhoneState(LaneState):
    """The present state of a phone: its common lane, its device lane, its sessions and its sends.

    ``pids``: its keyed hash, and its keyed hashes under former secrets. ``device``: its device lane, if it
    has data. ``former_sessions``: the number of sessions made under former secrets. ``outcomes``: the last
    sends, newest first, as the recorder has written them.
    """

    pids: tuple[str, ...]
    device: LaneState | None
    sessions: int
    former_sessions: int
    outcomes: tuple[Outcome, ...]

    @property
    def pid(self) -> str:
        """The keyed hash in the names of its keys."""
        return self.pids[0]

    @property
    def reference(self) -> str:
        """All keyed hashes of the phone in one word, for URLs."""
        return ".".join(self.pids)


class PhoneStateStore:
    """Reads phones. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, policy: Policy) -> None:
        self._redis = redis
        self._policy = policy

    def phone(self, pids: Sequence[str]) -> PhoneState:
        """The state of one phone. A phone without any key is idle."""
        return self.phones([pids], outcomes=KEPT)[0]

    def phones(self, all_pids: Sequence[Sequence[str]], *, outcomes: int) -> list[PhoneState]:
        """The states of several phones in two round trips, each with at most so many outcomes."""
        with available():
            seconds, micros = self._redis.time()
            now = int(seconds) * 1000 + int(micros) // 1000
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            # The next login removes sessions that have expired from the set. Until then, they are in it.
            valid = f"({now - 1000 * self._policy.session_lifetime}"
            for pid, *former in all_pids:
                names = PhoneKeys(pid)
                add_lane_reads(pipeline, names)
                add_lane_reads(pipeline, names.of_devices)
                pipeline.lrange(names.outcomes, 0, outcomes - 1)
                for each in (pid, *former):
                    pipeline.zcount(PhoneKeys(each).sessions, valid, "+inf")
            replies = iter(pipeline.execute())
        return [
            self._state(tuple(pids), [next(replies) for _ in range(2 * REPLIES + 1 + len(pids))], now)
            for pids in all_pids
        ]

    def _state(self, pids: tuple[str, ...], reply: Sequence[Any], now_ms: int) -> PhoneState:
        common = read_lane(reply[:REPLIES], now_ms, self._policy, device=False)
        device = read_lane(reply[REPLIES : 2 * REPLIES], now_ms, self._policy, device=True)
        outcomes, *sessions = reply[2 * REPLIES :]
        recorded = tuple(map(outcome_of, outcomes))
        of_lane = {each.name: getattr(common, each.name) for each in fields(LaneState)}
        of_lane["masked"] = common.masked or device.masked or (recorded[0].masked if recorded else None)
        return PhoneState(
            **of_lane,
            pids=pids,
            device=device if device.has_data else None,
            sessions=int(sessions[0]),
            former_sessions=sum(map(int, sessions[1:])),
            outcomes=recorded,
        )
