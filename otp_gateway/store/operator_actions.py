"""The actions of an operator on a phone, and their undo within five minutes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from otp_gateway.codes import random_id
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import MOST_DEVICE_DAYS, Clock, Policy
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, available, deadline, flat

UNDO_MS = 300_000
DEVICE_TOKEN_MS = 86_400_000 * MOST_DEVICE_DAYS
UNDO_ID = re.compile(r"[A-Za-z0-9_-]{12}")
Part = Literal["code", "tries"]


class OperatorActions:
    """Carries out the actions of an operator. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, scripts: Scripts, policy: Policy) -> None:
        self._redis = redis
        self._scripts = scripts
        self._policy = policy

    def unlock(self, pid: str) -> str | None:
        """Clear the tries and the failure budgets. Return the id of the undo, or None if there were none."""
        return self._set_aside(pid, "tries")

    def void(self, pid: str) -> str | None:
        """Make the active code worthless. Return the id of the undo, or None if no code was active."""
        return self._set_aside(pid, "code")

    def clear_sends(self, pid: str) -> bool:
        """Make the phone's windows forget its sends. Return False if there is none. It has no undo."""
        args = [1000 * self._policy.failure_period, *flat(self._policy.windows)]
        names = [lane.sends for lane in _lanes(pid)]
        return self._run("clear_sends", names, *args) == "done"

    def forget_devices(self, pids: Sequence[str]) -> None:
        """Make every device token of the phone worthless. It has no undo: the reason may be a stolen phone.

        A token of a former secret has no effect. But the operator can make this secret the present one again.
        So this is done for the keyed hashes under all secrets.
        """
        for pid in pids:
            # There is one call for each hash, because the keys of a cluster are in several slots.
            self._run("forget_devices", [PhoneKeys(pid).devices_since], DEVICE_TOKEN_MS)

    def end_sessions(self, pids: Sequence[str]) -> bool:
        """End all sessions of the phone, also those of former secrets. Return False if there is none.

        It has no undo: the reason may be a stolen phone.
        """
        with available():
            # The keys are deleted one by one, because the keys of a cluster are in several slots.
            return bool(sum(self._redis.delete(PhoneKeys(pid).sessions) for pid in pids))

    def undo(self, pid: str, undo_id: str) -> bool:
        """Put back the data that an action has removed, if there are no newer data. Return whether it did."""
        if not UNDO_ID.fullmatch(undo_id):
            return False
        with available():
            # Only a code has a masked phone.
            code = any(self._redis.hexists(lane.undo(undo_id), "phone") for lane in _lanes(pid))
        return self._run("put_back", _pairs(pid, "code" if code else "tries", undo_id)) == "done"

    def _set_aside(self, pid: str, part: Part) -> str | None:
        undo_id = random_id()
        done = self._run("set_aside", _pairs(pid, part, undo_id), UNDO_MS) == "done"
        return undo_id if done else None

    def _run(self, script: str, names: Sequence[str], *args: int) -> str:
        with available():
            seconds, micros = self._redis.time()
        clock = Clock.read(int(seconds) * 1000 + int(micros) // 1000)
        tag: str = self._scripts.run(script, names, [deadline(clock), *args], CALL_TIMEOUT)[0]
        if tag == "late":
            raise StoreUnavailable(LATE)
        return tag


def _lanes(pid: str) -> tuple[PhoneKeys, PhoneKeys]:
    names = PhoneKeys(pid)
    return names, names.of_devices


def _pairs(pid: str, part: Part, undo_id: str) -> list[str]:
    """For each lane: the key of the part, and the key that keeps it for an undo."""
    return [
        name
        for lane in _lanes(pid)
        for name in (lane.code if part == "code" else lane.tries, lane.undo(undo_id))
    ]
