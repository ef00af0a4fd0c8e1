"""Runs the Lua scripts: one round trip each, repeated within a deadline when a reply is lost."""

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

# Seconds until a call gives up. With the attempt that is then running, rate limiter and one transition end
# well within 3 s.
LIMITER_TIMEOUT = 0.7
CALL_TIMEOUT = 0.9
# Seconds beyond a deadline after which it has surely come, whatever was rounded.
MARGIN = 0.01
# Seconds between attempts, growing: a restarting Redis refuses connections for a moment.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.2
# Errors after which the command may still run later, or may run well on the next attempt.
LOST = (RedisConnectionError, RedisTimeoutError, RedisClusterException, OSError)
# Errors of a cluster that moves a slot or elects a primary: the command did not run, and the next attempt may
# succeed.
CHANGING = (ClusterError, TryAgainError)
# Calls that are sent to Redis together.
AT_ONCE = 100
# The reason of a call whose script came behind its deadline, and so did nothing.
LATE = "late"


def deadline(clock: Clock, patience: float = CALL_TIMEOUT) -> int:
    """The moment, in ms of Redis's time, from which a script of a call that begins now must do nothing.

    The clock is never ahead of Redis, so that moment has come there when the call gives up here.
    """
    return clock.now_ms() + int(1000 * patience)


@contextmanager
def available() -> Iterator[None]:
    """Turns whatever redis-py raises in the block into ``StoreUnavailable``."""
    try:
        yield
    except (*LOST, RedisError) as error:
        raise StoreUnavailable(reason(error)) from None


def wait_until(moment: float) -> None:
    """Sleep until ``moment`` (``time.monotonic()`` seconds); not at all where it has passed."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def flat(windows: Sequence[Window]) -> list[int]:
    """Windows as a script's arguments: limit and milliseconds of each."""
    return [number for w in windows for number in (w.limit, 1000 * w.seconds)]


# The files that are put before scripts: before each one, and before those of the send gate.
COMMON, CREDIT = "common", "credit"
OF_THE_GATE = frozenset({"issue", "withdraw", "gate", "give_back"})


def sources() -> dict[str, str]:
    """Every script by name, with the shared functions of ``common.lua`` and ``credit.lua`` before it."""
    texts = {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in resources.files(__package__).joinpath("lua").iterdir()
        if file.name.endswith(".lua")
    }
    common, credit = texts.pop(COMMON), texts.pop(CREDIT)
    return {name: common + (credit if name in OF_THE_GATE else "") + text for name, text in texts.items()}


class Reply(list[Any]):
    """A script's reply, its tag decoded: ``["issued", 300000, …]``.

    Until ``settled_at`` (``time.monotonic()`` seconds) a lost earlier attempt of the same call may yet run.
    """

    settled_at = 0.0

    def settle(self) -> None:
        """Wait until nothing of this call can run any more; without a lost attempt, not at all."""
        wait_until(self.settled_at)


class Scripts:
    """The scripts of the folder ``lua`` over one Redis client."""

    def __init__(self, redis: RedisClient, observer: Observer = UNOBSERVED) -> None:
        self._redis = redis
        self._observer = observer
        self._sources = sources()
        # SHA-1 is how Redis names a script, nothing more.
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            for name, source in self._sources.items()
        }

    def load(self) -> None:
        """Make the scripts known to Redis, so that no request pays for it. Raises ``StoreUnavailable``."""
        with available():
            for source in self._sources.values():
                self._redis.script_load(source)

    def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless Redis answers."""
        with available():
            self._redis.ping()

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int], patience: float) -> Reply:
        """The script's reply.

        An attempt that fails is repeated until ``patience`` (seconds) has passed, and never given up before:
        a command may sit in a buffer, and only the script's own deadline, which must not lie later, stops it
        for good. Scripts know a repeated request by its id. Raises ``StoreUnavailable``.
        """
        began = time.monotonic()
        try:
            return self._repeat(name, keys, args, began + patience)
        finally:
            self._observer.redis_call(name, time.monotonic() - began)

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], patience: float
    ) -> None:
        """Run the script once for each call, as keys and arguments; on one server, many in a round trip.

        For scripts that may run twice with the same effect, and whose replies do not matter. Raises
        ``StoreUnavailable`` if a call has failed; then others may have run.
        """
        if servers.is_cluster(self._redis) or len(calls) == 1:
            # A cluster's pipeline takes no scripts.
            for keys, args in calls:
                self.run(name, keys, args, patience)
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
                # Refused outright (read-only replica, out of memory, loading): nothing of it ran, but an
                # earlier attempt may yet.
                failure = self._failed(error)
                if not in_doubt and not isinstance(error, CHANGING):
                    raise StoreUnavailable(failure) from None
            else:
                found = Reply([reply[0].decode(), *reply[1:]])
                found.settled_at = give_up + MARGIN if in_doubt else 0.0
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
