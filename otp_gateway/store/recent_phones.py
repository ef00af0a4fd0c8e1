"""The phones of the last day by time: the order of the panel's list, and the search by masked numbers.

Each index is one sorted set with a bounded number of members, ``pid masked`` or ``pid.former masked``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from otp_gateway.events import Batch, PhoneEvent, StuckEvent
from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

DAY = 86_400
NEWEST = 50_000
NEWEST_STUCK = 10_000
STEP = 1000
WRITTEN = re.compile(r"([0-9]{1,15})-([A-Za-z0-9_.-]{22,200})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an index. ``at`` is in milliseconds since 1970."""

    at: int
    member: str

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read a position from its text. None: the text is no position."""
        found = WRITTEN.fullmatch(text)
        return cls(int(found[1]), found[2]) if found else None

    def __str__(self) -> str:
        return f"{self.at}-{self.member.partition(' ')[0]}"


@dataclass(frozen=True, slots=True)
class RecentPhone:
    """A phone in an index. ``pids``: its keyed hash, and its keyed hashes under former secrets."""

    pids: tuple[str, ...]
    masked: str
    position: Position


class RecentPhones:
    """Writes and reads the indexes. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def write(self, batch: Batch) -> None:
        """Move the phones of the batch to the top.

        A refused send, which costs nothing, does not move its phone. A phone without a send is not stuck: an
        attacker has guessed, and the next send clears the tries.
        """
        called = [event for event in batch.sends if event.outcome != "refused"]
        self._put(keys.RECENT_PHONES, called, NEWEST)
        self._put(keys.STUCK_PHONES, self._with_a_send(batch.stuck), NEWEST_STUCK)

    def now_ms(self) -> int:
        """Redis's time."""
        with available():
            seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def newest(self, name: str, before: Position | None = None) -> Iterator[RecentPhone]:
        """The phones of an index from the position on, newest first.

        It reads only those that the caller uses.
        """
        position = before or Position(0, "")
        while True:
            limit = position.at if position.member else "+inf"
            with available():
                found = self._redis.zrevrangebyscore(name, limit, "-inf", start=0, num=STEP, withscores=True)
            entries = [(member.decode(), int(at)) for member, at in found]
            fresh = [
                (member, at)
                for member, at in entries
                # Members with the same time are in the reverse order of their bytes.
                if not position.member or (at, member) < (position.at, position.member)
            ]
            for member, at in fresh:
                pids, _, masked = member.partition(" ")
                yield RecentPhone(tuple(pids.split(".")), masked, Position(at, member))
            if len(entries) < STEP or not fresh:
                return
            member, at = fresh[-1]
            position = Position(at, member)

    def _with_a_send(self, events: Sequence[StuckEvent]) -> list[StuckEvent]:
        """The events of phones to which a code was sent within a day, in any lane."""
        if not events:
            return []
        with available():
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            for event in events:
                names = PhoneKeys(event.pid)
                pipeline.exists(names.sends)
                pipeline.exists(names.of_devices.sends)
            found = pipeline.execute()
        return [event for event, *lanes in zip(events, found[::2], found[1::2], strict=True) if any(lanes)]

    def _put(self, name: str, events: Iterable[PhoneEvent], newest: int) -> None:
        scores = _scores(events)
        if not scores:
            return
        with available():
            now = int(self._redis.time()[0])
            # This is done in one step, so that the set always has an expiry.
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            # A time is never set back: another worker may have written a later event first.
            pipeline.zadd(name, scores, gt=True)
            pipeline.zremrangebyscore(name, "-inf", f"({1000 * (now - DAY)}")
            pipeline.zremrangebyrank(name, 0, -newest - 1)
            pipeline.expire(name, DAY)
            pipeline.execute()


def _scores(events: Iterable[PhoneEvent]) -> dict[str, int]:
    scores: dict[str, int] = {}
    for event in events:
        member = f"{'.'.join((event.pid, *event.former_pids))} {event.masked}"
        scores[member] = max(event.at, scores.get(member, 0))
    return scores
