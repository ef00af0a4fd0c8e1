"""What an operator may do to a phone, and how it is undone within five minutes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from otp_gateway.codes import random_id
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import Clock, Policy
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, available, deadline, flat

UNDO_MS = 300_000
UNDO_ID = re.compile(r"[A-Za-z0-9_-]{12}")


class OperatorActions:
    """Carries out what an operator has decided. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, scripts: Scripts, policy: Policy) -> None:
        self._redis = redis
        self._scripts = scripts
        self._policy = policy

    def unlock(self, pid: str) -> str | None:
        """Clear the tries and the failure budgets; the id by which that can be undone, None for nothing."""
        return self._set_aside(pid, PhoneKeys(pid).tries)

    def void(self, pid: str) -> str | None:
        """Make the active code worthless; the id by which that can be undone, None for nothing."""
        return self._set_aside(pid, PhoneKeys(pid).code)

    def clear_sends(self, pid: str) -> bool:
        """Let the phone's windows forget its sends; False if there is none. It has no undo."""
        args = [1000 * self._policy.failure_period, *flat(self._policy.windows)]
        return self._run("clear_sends", [PhoneKeys(pid).sends], *args) == "done"

    def end_sessions(self, pids: Sequence[str]) -> bool:
        """End every session of the phone, also those made under former secrets; False if there is none.

        It has no undo: the reason may be a stolen phone.
        """
        with available():
            # One by one: the keys of a cluster are in several slots.
            return bool(sum(self._redis.delete(PhoneKeys(pid).sessions) for pid in pids))

    def undo(self, pid: str, undo_id: str) -> bool:
        """Put back what an action has removed, if nothing newer is there; False when nothing was."""
        if not UNDO_ID.fullmatch(undo_id):
            return False
        names = PhoneKeys(pid)
        with available():
            # Only a code has a masked phone.
            kept = names.code if self._redis.hexists(names.undo(undo_id), "phone") else names.tries
        return self._run("put_back", [kept, names.undo(undo_id)]) == "done"

    def _set_aside(self, pid: str, name: str) -> str | None:
        undo_id = random_id()
        done = self._run("set_aside", [name, PhoneKeys(pid).undo(undo_id)], UNDO_MS) == "done"
        return undo_id if done else None

    def _run(self, script: str, names: Sequence[str], *args: int) -> str:
        with available():
            seconds, micros = self._redis.time()
        clock = Clock.read(int(seconds) * 1000 + int(micros) // 1000)
        tag: str = self._scripts.run(script, names, [deadline(clock), *args], CALL_TIMEOUT)[0]
        if tag == "late":
            raise StoreUnavailable(LATE)
        return tag
