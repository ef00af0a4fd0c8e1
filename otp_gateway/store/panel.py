"""What an operator may see and do: the state of phones, by their keyed hashes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import ResponseError

from otp_gateway.codes import Codes, random_id
from otp_gateway.model import Channel, PhoneNumber, Policy
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

# Phones that a page should have at least, and seconds that the search for them may take.
PAGE = 25
PAGE_SECONDS = 1.0
# Seconds that looking through all keys may take where somebody waits for a number alone.
LOOK_SECONDS = 1.0
FIRST_COUNT, LONGEST_COUNT = 100, 10_000
UNDO_SECONDS = 300
CODES = "otp:*:code"
# The field of an undo record that holds tries; the others are names of keys.
TRIES = b"tries"
PID = re.compile(r"[A-Za-z0-9_-]{22}")
UNDO_ID = re.compile(r"[A-Za-z0-9_-]{12}")
CURSOR = re.compile(r"([0-9]{1,4}):([0-9]{1,20})")
CODE_KEY = re.compile(rb"otp:\{([A-Za-z0-9_-]{22})\}:code")

State = Literal["active", "exhausted", "locked", "verified", "idle"]


@dataclass(frozen=True, slots=True)
class Send:
    """One send of a phone. ``at`` is in seconds since 1970."""

    at: float
    send_id: str
    channel: Channel


@dataclass(frozen=True, slots=True, repr=False)
class PhoneState:
    """All that is known of a phone now. Times left are in seconds."""

    pid: str
    masked: str | None
    state: State
    code_left: float
    nonce: str | None
    tries: int
    sends: tuple[Send, ...]
    in_windows: tuple[int, ...]
    failures: int
    failures_left: float
    sessions: int

    @property
    def last_send(self) -> float:
        """When the phone last asked, in seconds since 1970; 0 for never."""
        return self.sends[-1].at if self.sends else 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some phones, newest first, and where the next page begins; None at the end."""

    phones: tuple[PhoneState, ...]
    cursor: str | None


class PanelStore:
    """Reads phones page by page, and carries out what an operator has decided.

    Every method raises ``StoreUnavailable``.
    """

    def __init__(self, redis: Any, codes: Codes, policy: Policy) -> None:
        """``redis``: a redis-py client of any kind."""
        self._redis = redis
        self._codes = codes
        self._policy = policy

    def page(self, cursor: str | None) -> Page:
        """The phones with a code, by SCAN: a page costs the same however many there are."""
        with available():
            pids, following = self._scan(cursor)
            phones = self._states(pids)
        return Page(tuple(sorted(phones, key=lambda p: p.last_send, reverse=True)), following)

    def phone(self, pid: str) -> PhoneState:
        """One phone's state; a phone that nobody has heard of is idle."""
        with available():
            (state,) = self._states([pid])
            return state

    def pid(self, phone: PhoneNumber) -> str:
        """The keyed hash under which the phone stands."""
        return self._codes.pid(phone)

    def code(self, state: PhoneState) -> str | None:
        """The live code; none where it has another length than codes have now, for nobody can enter it."""
        if state.nonce is None or state.nonce[0] != f"{self._policy.length:x}":
            return None
        return self._codes.derive_for(state.pid, state.nonce)

    def locked_clients(self, pid: str) -> int | None:
        """Client networks that have spent their failure budget for this phone.

        It looks through all keys; None where those are too many for a second.
        """
        with available():
            names = self._scan_all(f"{PhoneKeys(pid).failures}:*", LOOK_SECONDS)
            if names is None:
                return None
            spent = [int(self._redis.get(name) or 0) for name in names]
            return sum(count >= self._policy.max_failures_per_client for count in spent)

    def unlock(self, pid: str) -> str | None:
        """Clear the tries and the failure budgets; the id by which that can be undone, None for nothing."""
        with available():
            undo_id = random_id()
            budgets = sorted(self._scan_all(f"{PhoneKeys(pid).failures}*") or ())
            cleared = self._set_aside(pid, undo_id, budgets)
            cleared |= self._clear_tries(pid, undo_id)
            return undo_id if cleared else None

    def void(self, pid: str) -> str | None:
        """Make the live code worthless; the id by which that can be undone, None for nothing."""
        with available():
            undo_id = random_id()
            return undo_id if self._set_aside(pid, undo_id, [PhoneKeys(pid).code]) else None

    def end_sessions(self, pid: str) -> None:
        """End every session of the phone. Not to be undone: somebody may have asked for it in alarm."""
        with available():
            self._redis.delete(PhoneKeys(pid).sessions)

    def undo(self, pid: str, undo_id: str) -> bool:
        """Put back what an action has removed, where nothing new stands there; False when nothing was."""
        if not UNDO_ID.fullmatch(undo_id):
            return False
        with available():
            record = _undo_key(pid, undo_id)
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
            aside = self._redis.hget(_undo_key(pid, undo_id), PhoneKeys(pid).code)
            masked = self._redis.hget(aside.decode(), "phone") if aside else None
            return masked.decode() if masked else None

    def _set_aside(self, pid: str, undo_id: str, names: Sequence[str]) -> bool:
        """Rename the keys: each in one step, and with the end that it has; whether there was one."""
        moved = False
        for number, name in enumerate(names):
            aside = f"{_undo_key(pid, undo_id)}:{number}"
            try:
                self._redis.rename(name, aside)
            except ResponseError:
                continue
            moved = True
            self._record(pid, undo_id, name, aside)
        return moved

    def _clear_tries(self, pid: str, undo_id: str) -> bool:
        """The tries alone: beside them stand answers that a repeated verify gets again."""
        attempts = PhoneKeys(pid).attempts
        pipeline = self._redis.pipeline(transaction=True)
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
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(attempts, mapping={"tries": tries, "tries_end": ends})
        pipeline.pexpire(attempts, max(left, self._redis.pttl(attempts)))
        pipeline.execute()
        return True

    def _record(self, pid: str, undo_id: str, field: bytes | str, value: str) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(_undo_key(pid, undo_id), field, value)
        pipeline.expire(_undo_key(pid, undo_id), UNDO_SECONDS)
        pipeline.execute()

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _scan(self, cursor: str | None) -> tuple[list[str], str | None]:
        nodes = self._nodes()
        match = CURSOR.fullmatch(cursor or "")
        index, position = (int(match[1]), int(match[2])) if match else (0, 0)
        if index >= len(nodes) or position >= 2**64:
            index, position = 0, 0
        found: dict[str, None] = {}
        count, ends = FIRST_COUNT, time.monotonic() + PAGE_SECONDS
        while True:
            position, names = self._scan_node(nodes[index], position, count)
            found |= {m[1].decode(): None for m in map(CODE_KEY.fullmatch, names) if m}
            if position == 0:
                index += 1
                if index == len(nodes):
                    return list(found), None
            if len(found) >= PAGE or time.monotonic() > ends:
                return list(found), f"{index}:{position}"
            count = min(2 * count, LONGEST_COUNT)

    def _nodes(self) -> list[Any]:
        """A cluster's primaries, in an order that every worker finds; one None for anything else."""
        primaries = getattr(self._redis, "get_primaries", None)
        return sorted(primaries(), key=lambda node: str(node.name)) if primaries else [None]

    def _scan_node(self, node: Any, position: int, count: int, match: str = CODES) -> tuple[int, list[bytes]]:
        if node is None:
            position, names = self._redis.scan(position, match=match, count=count)
        else:
            positions, names = self._redis.scan(position, match=match, count=count, target_nodes=node)
            (position,) = positions.values()
        return int(position), names

    def _scan_all(self, pattern: str, seconds: float = math.inf) -> set[str] | None:
        """All keys of the pattern; None where the search was not done within ``seconds``."""
        escaped = re.sub(r"([\[\]?\\])", r"\\\1", pattern)
        ends = time.monotonic() + seconds
        found: set[str] = set()
        for node in self._nodes():
            position = -1
            while position:
                if time.monotonic() > ends:
                    return None
                position, names = self._scan_node(node, max(0, position), LONGEST_COUNT, escaped)
                found.update(name.decode() for name in names)
        return found

    def _states(self, pids: Sequence[str]) -> list[PhoneState]:
        now = self._now_ms()
        pipeline = self._redis.pipeline(transaction=False)
        for pid in pids:
            names = PhoneKeys(pid)
            pipeline.hmget(names.code, "phone", "nonce", "verified")
            pipeline.pttl(names.code)
            pipeline.hmget(names.attempts, "tries", "tries_end")
            pipeline.lrange(names.sends, 0, -1)
            pipeline.get(names.failures)
            pipeline.pttl(names.failures)
            # Those that have ended by their age go out of the set at the next login only.
            pipeline.zcount(names.sessions, f"({now - 1000 * self._policy.session_lifetime}", "+inf")
        replies = pipeline.execute()
        return [self._state(pid, replies[7 * i : 7 * i + 7], now / 1000) for i, pid in enumerate(pids)]

    def _state(self, pid: str, reply: Sequence[Any], now: float) -> PhoneState:
        (
            (masked, nonce, verified),
            code_left,
            (tries, tries_end),
            entries,
            failures,
            failures_left,
            sessions,
        ) = reply
        sends = tuple(_send(entry.decode()) for entry in entries)
        # The hash may outlive the tries for the sake of the answers in it.
        used = int(tries or 0) if int(tries_end or 0) > 1000 * now else 0
        failed = int(failures or 0)
        state: State = "idle"
        if failed >= self._policy.max_failures_per_phone:
            state = "locked"
        elif nonce:
            state = "exhausted" if used >= self._policy.max_attempts else "active"
        elif verified:
            state = "verified"
        return PhoneState(
            pid=pid,
            masked=masked.decode() if masked else None,
            state=state,
            code_left=max(0, code_left) / 1000 if nonce else 0.0,
            nonce=nonce.decode() if nonce else None,
            tries=used,
            sends=sends,
            in_windows=tuple(sum(s.at > now - w.seconds for s in sends) for w in self._policy.windows),
            failures=failed,
            failures_left=max(0, failures_left) / 1000,
            sessions=int(sessions),
        )


def is_pid(text: str) -> bool:
    """Whether the text can be a phone's keyed hash."""
    return PID.fullmatch(text) is not None


def _send(entry: str) -> Send:
    at, request, _, channel = entry.split(":")
    return Send(int(at) / 1000, request, "call" if channel == "call" else "sms")


def _undo_key(pid: str, undo_id: str) -> str:
    return f"otp:{{{pid}}}:undo:{undo_id}"
