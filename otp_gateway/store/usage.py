"""Counts of what has happened, by time: TTL'd hashes that name nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.scripts import available


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time up to now, in buckets of ``step`` seconds."""

    name: str
    step: int
    buckets: int


HOUR = Span("hour", 300, 12)
DAY = Span("day", 3600, 24)
WEEK = Span("week", 86_400, 7)
SPANS = (HOUR, DAY, WEEK)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The counts of one step. ``start`` is in seconds since 1970."""

    start: int
    counts: Mapping[str, int]


class UsageStore:
    """Adds up counts of all workers. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the present bucket of each span."""
        with available():
            now = int(self._redis.time()[0])
            # In one step, so that no key stands without an end.
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            for span in SPANS:
                key = _key(span, now)
                for name, count in counts.items():
                    pipeline.hincrby(key, name, count)
                pipeline.expire(key, span.step * (span.buckets + 1))
            pipeline.execute()

    def read(self, span: Span) -> list[Bucket]:
        """The span's buckets, oldest first, the present one last."""
        with available():
            now = int(self._redis.time()[0])
            starts = [now // span.step * span.step - i * span.step for i in reversed(range(span.buckets))]
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            for start in starts:
                pipeline.hgetall(_key(span, start))
            found = pipeline.execute()
        return [
            Bucket(start, {name.decode(): int(count) for name, count in counts.items()})
            for start, counts in zip(starts, found, strict=True)
        ]


def _key(span: Span, now: int) -> str:
    return keys.usage(span.name, now // span.step * span.step)
