"""Delivery status: the provider's reports on a phone's messages, and a sample of all messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from otp_gateway.codes import random_id
from otp_gateway.events import Batch, SendEvent
from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.scripts import LIMITER_TIMEOUT, Scripts, available

# Seconds for which a report is shown before the next page of the phone calls the provider again.
KEEP_SECONDS = 20
# Seconds without a call, after a call has failed.
PAUSE_SECONDS = 30
# The most calls for pages in any minute, over all workers and hosts.
CALLS_A_MINUTE = 30
# The number of messages of one minute that are sampled, and the minutes after which their status is read. By
# default, a code is valid for five minutes. A message that arrives later does not help.
SAMPLES_A_MINUTE = 30
SAMPLE_AGE_MINUTES = 5
MINUTE_MS = 60_000
SAMPLE_SECONDS = 3600
# This is later than every deadline. A call that is counted too late only makes the limit stricter.
NO_DEADLINE = 10**15
IN_PROGRESS = ""

# ``call``: the caller calls the provider now. ``silent``: a call has just failed. ``later``: another page is
# calling, or the limit is reached.
Turn = Literal["call", "silent", "later"]


class DeliveryCache:
    """The provider's last report on a phone, by send id. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    def read(self, pid: str) -> dict[str, int] | None:
        """The last report. Empty: a page calls the provider now. None: there is no report."""
        with available():
            found = self._redis.get(keys.provider_delivery(pid))
        if found is None:
            return None
        return dict(json.loads(found)) if found else {}

    def take_turn(self, pid: str) -> Turn:
        """Whether the caller may call the provider about this phone. The answer ``call`` counts as a call."""
        name = keys.provider_delivery(pid)
        with available():
            if self._redis.get(keys.DELIVERY_PAUSE):
                return "silent"
            if not self._redis.set(name, IN_PROGRESS, nx=True, ex=KEEP_SECONDS):
                return "later"
            windows = [MINUTE_MS, 1, CALLS_A_MINUTE, MINUTE_MS]
            reply = self._scripts.run(
                "admit", [keys.DELIVERY_CALLS], [NO_DEADLINE, random_id(), *windows], LIMITER_TIMEOUT
            )
            if reply[0] == "admitted":
                return "call"
            self._redis.delete(name)
            return "later"

    def keep(self, pid: str, states: Mapping[str, int]) -> None:
        """Show these states for some seconds."""
        with available():
            self._redis.set(keys.provider_delivery(pid), json.dumps(dict(states)), ex=KEEP_SECONDS)

    def pause(self, pid: str) -> None:
        """The provider has not answered a call about this phone: no page calls it for some seconds."""
        with available():
            self._redis.set(keys.DELIVERY_PAUSE, 1, ex=PAUSE_SECONDS)
            self._redis.delete(keys.provider_delivery(pid))


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled message: its number at the provider, and the prefix of its phone."""

    number: int
    prefix: str


class DeliverySamples:
    """Some messages of each minute, drawn with equal probability over all workers and hosts.

    The messages with the lowest digests are kept. So the size is bounded, and a repeated batch has no effect.
    Workers do not have to know of each other.
    """

    def __init__(self, redis: RedisClient, number: Callable[[SendEvent], int | None]) -> None:
        """``number`` returns the provider's number of a message, or None if the provider has no report."""
        self._redis = redis
        self._number = number

    def write(self, batch: Batch) -> None:
        """Offer the messages of the batch to the samples of their minutes. Raises ``StoreUnavailable``."""
        by_minute: dict[int, dict[str, int]] = {}
        for event in batch.sends:
            number = self._number(event)
            if number is not None:
                member = f"{number} {_shown_prefix(event)}"
                by_minute.setdefault(event.at // MINUTE_MS, {})[member] = _rank(member)
        for minute, members in by_minute.items():
            with available():
                # This is done in one step, so that the set always has an expiry.
                pipeline: Pipeline = self._redis.pipeline(transaction=True)
                pipeline.zadd(keys.delivery_sample(minute), members, gt=True)
                pipeline.zremrangebyrank(keys.delivery_sample(minute), SAMPLES_A_MINUTE, -1)
                pipeline.expire(keys.delivery_sample(minute), SAMPLE_SECONDS)
                pipeline.execute()

    def take(self) -> list[Sample]:
        """The sample whose status is due in this minute of Redis's clock. Only one worker gets it.

        Raises ``StoreUnavailable``.
        """
        with available():
            minute = int(self._redis.time()[0]) // 60 - SAMPLE_AGE_MINUTES
            found = self._redis.zrevrangebyscore(
                keys.delivery_sample(minute), "+inf", "-inf", start=0, num=SAMPLES_A_MINUTE, withscores=False
            )
            turn = keys.delivery_turn(minute)
            if not found or not self._redis.set(turn, 1, nx=True, ex=SAMPLE_SECONDS):
                return []
        pairs = (member.decode().split(" ") for member in found)
        return [Sample(int(number), prefix) for number, prefix in pairs]


def _shown_prefix(event: SendEvent) -> str:
    """The prefix without the digits that the masked number hides: both can be of the same send."""
    return min(event.prefix, event.masked.partition("*")[0], key=len)


def _rank(member: str) -> int:
    """A number that looks random. A sorted set holds numbers up to 2**53 exactly."""
    return int.from_bytes(hashlib.sha256(member.encode()).digest()[:6])
