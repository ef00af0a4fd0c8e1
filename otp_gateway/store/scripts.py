"""Runs the Lua scripts. Each run is one round trip. It is repeated within a deadline if a reply is lost."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

from redis.exceptions import (
    ClusterError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import Clock, Window
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.store import servers
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.error_labels import reason

# Seconds until a call gives up. The attempt that runs at that moment is still completed. Even so, the call of
# the rate limiter and one transition take less than 3 s together.
LIMITER_TIMEOUT = 0.7
CALL_TIMEOUT = 0.9
# Seconds that are added to a deadline, because the deadline may have been rounded.
MARGIN = 0.01
# Seconds between attempts. The pause grows, because a Redis that restarts refuses connections for a moment.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.2
# After these errors, the command may still run later, or may succeed at the next attempt.
LOST = (RedisConnectionError, RedisTimeoutError, RedisClusterException, OSError)
# Errors of a cluster that moves a slot or elects a primary. The command did not run. The next attempt may
# succeed.
CHANGING = (ClusterError, TryAgainError)
# The number of calls that are sent to Redis together.
AT_ONCE = 100
# The reason that is given if a script ran after its deadline, and so did nothing.
LATE = "late"


def deadline(clock: Clock, timeout: float = CALL_TIMEOUT) -> int:
    """The deadline, in ms of Redis's time, of a call that begins now. After it, the script does nothing.

    The clock is never ahead of Redis. So when the call gives up here, its deadline has passed in Redis too.
    """
    return clock.now_ms() + int(1000 * timeout)


@contextmanager
def available() -> Iterator[None]:
    """Turns every error that redis-py raises in the block into ``StoreUnavailable``."""
    try:
        yield
    except (*LOST, RedisError) as error:
        raise StoreUnavailable(reason(error)) from None


def wait_until(moment: float) -> None:
    """Sleep until ``moment`` (``time.monotonic()`` seconds). If it has passed, return at once."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def flat(windows: Sequence[Window]) -> list[int]:
    """The windows as arguments of a script: the limit and the milliseconds of each window."""
    return [number for w in windows for number in (w.limit, 1000 * w.seconds)]


# COMMON is put before each script. CREDIT is put only before the scripts of the send gate.
COMMON, CREDIT = "common", "credit"
OF_THE_GATE = frozenset({"issue", "withdraw", "gate", "give_back"})


def sources() -> dict[str, str]:
    """The text of each script by its name. The shared functions that it needs are before it."""
    texts = {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in resources.files(__package__).joinpath("lua").iterdir()
        if file.name.endswith(".lua")
    }
    common, credit = texts.pop(COMMON), texts.pop(CREDIT)
    return {name: common + (credit if name in OF_THE_GATE else "") + text for name, text in texts.items()}


class Reply(list[Any]):
    """The reply of a script, with its tag decoded: ``["issued", 300000, …]``.

    If an attempt of the call was lost, it can still run until ``final_at`` (``time.monotonic()`` seconds).
    """

    final_at = 0.0

    def wait_until_final(self) -> None:
        """Wait until no lost attempt of this call can run any more."""
        wait_until(self.final_at)


class Scripts:
    """The scripts of the folder ``lua`` over one Redis client."""

    def __init__(self, redis: RedisClient, observer: Observer = UNOBSERVED) -> None:
        self._redis = redis
        self._observer = observer
        self._sources = sources()
        # Redis names a script by its SHA-1. It is not used for security.
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            for name, source in self._sources.items()
        }

    def load(self) -> None:
        """Load the scripts into Redis, so that no request has to. Raises ``StoreUnavailable``."""
        with available():
            for source in self._sources.values():
                self._redis.script_load(source)

    def ping(self) -> None:
        """Raises ``StoreUnavailable`` if Redis does not answer."""
        with available():
            self._redis.ping()

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int], timeout: float) -> Reply:
        """Run the script, and return its reply. Raises ``StoreUnavailable``.

        If an attempt fails, it is repeated until ``timeout`` (seconds) has passed. A script recognises a
        repeated call by its id. The call does not give up earlier: a command can wait in a buffer, and only
        the deadline in the script's arguments stops it. So this deadline must not be later than ``timeout``.
        """
        began = time.monotonic()
        try:
            return self._repeat(name, keys, args, began + timeout)
        finally:
            self._observer.redis_call(name, time.monotonic() - began)

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], timeout: float
    ) -> None:
        """Run the script once for each call (its keys and its arguments).

        One server gets many calls in one round trip. Use this only for scripts whose replies do not matter,
        and which have the same effect if they run twice. Raises ``StoreUnavailable`` if a call has failed.
        Then other calls may have run.
        """
        if servers.is_cluster(self._redis) or len(calls) == 1:
            # redis-py cannot run scripts in the pipeline of a cluster.
            for keys, args in calls:
                self.run(name, keys, args, timeout)
            return
        for start in range(0, len(calls), AT_ONCE):
            self._pipelined(name, calls[start : start + AT_ONCE])

    def _pipelined(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]]) -> None:
        for attempt in (1, 2):
            with available():
                pipeline: Pipeline = self._redis.pipeline(transaction=False)
                for keys, args in calls:
                    pipeline.evalsha(self._digests[name], len(keys), *keys, *args)
                errors = [
                    each for each in pipeline.execute(raise_on_error=False) if isinstance(each, Exception)
                ]
                if not errors:
                    return
                if attempt == 2 or not all(isinstance(error, NoScriptError) for error in errors):
                    raise errors[0]
                self._redis.script_load(self._sources[name])

    def _repeat(self, name: str, keys: Sequence[str], args: Sequence[str | int], give_up: float) -> Reply:
        pause = FIRST_PAUSE
        in_doubt = False
        while True:
            try:
                reply = self._attempt(name, keys, args)
            except LOST as error:
                in_doubt = True
                failure = self._failed(error)
            except RedisError as error:
                # Redis refused the command (it is read-only, out of memory or loading), so this attempt did
                # not run. An earlier attempt can still run.
                failure = self._failed(error)
                if not in_doubt and not isinstance(error, CHANGING):
                    raise StoreUnavailable(failure) from None
            else:
                found = Reply([reply[0].decode(), *reply[1:]])
                found.final_at = give_up + MARGIN if in_doubt else 0.0
                return found
            now = time.monotonic()
            if now >= give_up:
                raise StoreUnavailable(failure)
            time.sleep(min(pause, max(0.0, give_up - now)))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _failed(self, error: Exception) -> str:
        label = reason(error)
        self._observer.redis_error(label)
        return label

    def _attempt(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        try:
            return self._redis.evalsha(self._digests[name], len(keys), *keys, *args)
        except NoScriptError:
            return self._redis.eval(self._sources[name], len(keys), *keys, *args)
