"""Counts of events by time. They are hashes with a TTL, and they contain no phone.

A *tally* holds the sends and logins by prefix and by client network. Its size is bounded: see ``tally.lua``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from otp_gateway.events import Batch, PhoneEvent
from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.scripts import CALL_TIMEOUT, Scripts, available

# The most members that a tally keeps, and that a batch can add.
MEMBERS = 128
ALL = "*"
# How long a batch is remembered. A worker does not try for so long to write the same batch if Redis answers.
BATCH_MS = 3_600_000
Kind = Literal["prefix", "network"]
# The number of members that are shown one by one.
SHOWN: dict[Kind, int] = {"prefix": 20, "network": 10}
# At least so many sends with at most this share of logins look like SMS pumping.
PUMPING_SENDS, PUMPING_SHARE = 20, 0.25
KINDS: dict[Kind, Callable[[PhoneEvent], str]] = {
    "prefix": lambda event: event.prefix,
    "network": lambda event: event.client,
}


@dataclass(frozen=True, slots=True)
class Span:
    """A period of time up to now, in buckets of ``step`` seconds.

    ``stored_as``: the span whose keys have its buckets.
    """

    name: str
    step: int
    buckets: int
    stored_as: str

    def starts(self, now: int) -> list[int]:
        """The times at which its buckets begin, oldest first."""
        return [now // self.step * self.step - i * self.step for i in reversed(range(self.buckets))]


HOUR = Span("hour", 300, 12, "hour")
DAY = Span("day", 3600, 24, "day")
WEEK = Span("week", 86_400, 7, "week")
MONTH = Span("month", 86_400, 30, "week")
SPANS = (HOUR, DAY, WEEK, MONTH)
STORED = {span: max(s.buckets for s in SPANS if s.stored_as == span.name) for span in (HOUR, DAY, WEEK)}


@dataclass(frozen=True, slots=True)
class Bucket:
    """The counts of one step. ``start`` is in seconds since 1970."""

    start: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sends that may have gone out, and logins, of one prefix or network."""

    name: str
    sends: int
    logins: int

    @property
    def conversion(self) -> float | None:
        """The number of logins divided by the number of sends; None if there is no send."""
        return self.logins / self.sends if self.sends else None

    @property
    def looks_pumped(self) -> bool:
        """Whether the sends look like SMS pumping."""
        return self.sends >= PUMPING_SENDS and self.logins < PUMPING_SHARE * self.sends


@dataclass(frozen=True, slots=True)
class Tallies:
    """The members with the most sends, and the sums of all other members."""

    top: tuple[Tally, ...]
    rest: Tally


class UsageStore:
    """Adds up the counts of all workers. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    def write(self, batch: Batch) -> None:
        """Add the batch to the present bucket of each span. A batch is added only once, even if repeated."""
        now = self._now()
        names, lives = [keys.batch(batch.id)], []
        for span, buckets in STORED.items():
            start = now // span.step * span.step
            names += [keys.usage(span.name, start), *(keys.tally(kind, span.name, start) for kind in KINDS)]
            # The TTL counts from the last write, which is within the step.
            lives.append(str(span.step * buckets))
        args: list[str | int] = [BATCH_MS, MEMBERS, " ".join(lives), len(batch.counts)]
        for name, count in batch.counts.items():
            args += [name, count]
        for member in KINDS.values():
            args += _members(batch, member)
        self._scripts.run("tally", names, args, CALL_TIMEOUT)

    def read(self, span: Span) -> list[Bucket]:
        """The buckets of the span, oldest first. The last one is the present bucket."""
        starts = span.starts(self._now())
        found = self._hashes([keys.usage(span.stored_as, start) for start in starts])
        return [
            Bucket(start, {name.decode(): int(count) for name, count in counts.items()})
            for start, counts in zip(starts, found, strict=True)
        ]

    def tallies(self, kind: Kind, span: Span) -> Tallies:
        """Sends and logins by ``kind``. The members with the most sends are first."""
        starts = span.starts(self._now())
        sums: dict[str, list[int]] = {ALL: [0, 0]}
        for counts in self._hashes([keys.tally(kind, span.stored_as, start) for start in starts]):
            for member, packed in counts.items():
                _, sends, logins = packed.split(b":")
                one = sums.setdefault(member.decode(), [0, 0])
                one[0] += int(sends)
                one[1] += int(logins)
        of_all = sums.pop(ALL)
        ordered = sorted(sums.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
        found = tuple(Tally(name, *counts) for name, counts in ordered[: SHOWN[kind]])
        rest = Tally(
            "",
            of_all[0] - sum(each.sends for each in found),
            of_all[1] - sum(each.logins for each in found),
        )
        return Tallies(found, rest)

    def _hashes(self, names: Sequence[str]) -> list[Mapping[bytes, bytes]]:
        with available():
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(name)
            return pipeline.execute()

    def _now(self) -> int:
        with available():
            return int(self._redis.time()[0])


def _members(batch: Batch, member: Callable[[PhoneEvent], str]) -> list[str | int]:
    """The arguments for one kind of tally: at most ``MEMBERS`` members, and the sums of all."""
    sends = Counter(member(event) for event in batch.sends if event.may_have_gone_out)
    logins = Counter(member(event) for event in batch.logins)
    chosen = [name for name, _ in (sends + logins).most_common(MEMBERS)]
    args: list[str | int] = [len(chosen), sends.total(), logins.total()]
    for name in chosen:
        args += [name, sends[name], logins[name]]
    return args
