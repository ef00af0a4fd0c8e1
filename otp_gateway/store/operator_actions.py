"""What an operator may do to a phone, and how it is undone within five minutes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import ResponseError

from otp_gateway.codes import random_id
from otp_gateway.store import scan
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

UNDO_SECONDS = 300
UNDO_ID = re.compile(r"[A-Za-z0-9_-]{12}")
# The field of an undo record that holds tries; the others are names of keys.
TRIES = b"tries"


class OperatorActions:
    """Carries out what an operator has decided. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def unlock(self, pid: str) -> str | None:
        """Clear the tries and the failure budgets; the id by which that can be undone, None for nothing."""
        with available():
            undo_id = random_id()
            budgets = sorted(scan.all_names(self._redis, f"{PhoneKeys(pid).failures}*") or ())
            cleared = self._set_aside(pid, undo_id, budgets)
            cleared |= self._clear_tries(pid, undo_id)
            return undo_id if cleared else None

    def void(self, pid: str) -> str | None:
        """Make the active code worthless; the id by which that can be undone, None for nothing."""
        with available():
            undo_id = random_id()
            return undo_id if self._set_aside(pid, undo_id, [PhoneKeys(pid).code]) else None

    def end_sessions(self, pid: str) -> None:
        """End every session of the phone. It has no undo: the reason may be a stolen phone."""
        with available():
            self._redis.delete(PhoneKeys(pid).sessions)

    def undo(self, pid: str, undo_id: str) -> bool:
        """Put back what an action has removed, if nothing newer is there; False when nothing was."""
        if not UNDO_ID.fullmatch(undo_id):
            return False
        with available():
            record = PhoneKeys(pid).undo(undo_id)
            back = False
            for field, value in self._redis.hgetall(record).items():
                if field == TRIES:
                    back |= self._restore_tries(pid, value)
                    continue
                # What has expired meanwhile is no key any more.
                with suppress(ResponseError):
                    back |= bool(self._redis.renamenx(value.decode(), field.decode()))
            self._redis.delete(record)
            return back

    def masked_in(self, pid: str, undo_id: str) -> str | None:
        """The masked number that an action has set aside together with the code."""
        if not UNDO_ID.fullmatch(undo_id):
            return None
        with available():
            aside = self._redis.hget(PhoneKeys(pid).undo(undo_id), PhoneKeys(pid).code)
            masked = self._redis.hget(aside.decode(), "phone") if aside else None
            return masked.decode() if masked else None

    def _set_aside(self, pid: str, undo_id: str, names: Sequence[str]) -> bool:
        """Rename the keys, each in one step and with its expiry; whether there was one."""
        moved = False
        for number, name in enumerate(names):
            aside = f"{PhoneKeys(pid).undo(undo_id)}:{number}"
            try:
                self._redis.rename(name, aside)
            except ResponseError:
                continue
            moved = True
            self._record(pid, undo_id, name, aside)
        return moved

    def _clear_tries(self, pid: str, undo_id: str) -> bool:
        """The tries only: the hash also holds answers that a repeated verify gets again."""
        attempts = PhoneKeys(pid).attempts
        pipeline: Pipeline = self._redis.pipeline(transaction=True)
        pipeline.hmget(attempts, "tries", "tries_end")
        pipeline.hdel(attempts, "tries", "tries_end")
        (tries, ends), _ = pipeline.execute()
        if tries is None:
            return False
        self._record(pid, undo_id, TRIES, f"{int(tries)}:{int(ends)}")
        return True

    def _restore_tries(self, pid: str, value: bytes) -> bool:
        tries, ends = map(int, value.split(b":"))
        attempts = PhoneKeys(pid).attempts
        left = ends - self._now_ms()
        if left <= 0 or self._redis.hexists(attempts, "tries"):
            return False
        pipeline: Pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(attempts, mapping={"tries": tries, "tries_end": ends})
        pipeline.pexpire(attempts, max(left, self._redis.pttl(attempts)))
        pipeline.execute()
        return True

    def _record(self, pid: str, undo_id: str, field: bytes | str, value: str) -> None:
        pipeline: Pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(PhoneKeys(pid).undo(undo_id), field, value)
        pipeline.expire(PhoneKeys(pid).undo(undo_id), UNDO_SECONDS)
        pipeline.execute()

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000
