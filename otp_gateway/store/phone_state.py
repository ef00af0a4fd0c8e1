"""The state of phones, by their keyed hashes: what support staff see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from otp_gateway.codes import Codes
from otp_gateway.model import Channel, PhoneNumber, Policy
from otp_gateway.store import keys, scan
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

# Phones that a page should have at least, and seconds that the search for them may take.
PAGE = 25
PAGE_SECONDS = 1.0

State = Literal["active", "exhausted", "locked", "verified", "idle"]


@dataclass(frozen=True, slots=True)
class Send:
    """One send of a phone. ``at`` is in seconds since 1970."""

    at: float
    send_id: str
    channel: Channel


@dataclass(frozen=True, slots=True, repr=False)
class PhoneState:
    """All that is known of a phone now. Times left are in seconds.

    ``locked_clients``: client networks that have used up their failure budget for this phone.
    """

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
    locked_clients: int
    sessions: int

    @property
    def last_send(self) -> float:
        """Time of the phone's last send, in seconds since 1970; 0 for never."""
        return self.sends[-1].at if self.sends else 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some phones, newest first, and where the next page begins; None at the end."""

    phones: tuple[PhoneState, ...]
    cursor: str | None


class PhoneStateStore:
    """Reads phones page by page. Every method that reads raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, codes: Codes, policy: Policy) -> None:
        self._redis = redis
        self._codes = codes
        self._policy = policy

    def page(self, cursor: str | None) -> Page:
        """The phones with a code, by SCAN: a page costs the same, however many there are."""
        with available():
            pids, following = scan.page(
                self._redis, cursor, keys.CODE_PATTERN, keys.CODE_KEY, size=PAGE, seconds=PAGE_SECONDS
            )
            phones = self._states(sorted(pids))
        return Page(tuple(sorted(phones, key=lambda p: p.last_send, reverse=True)), following)

    def phone(self, pid: str) -> PhoneState:
        """One phone's state; a phone without any key is idle."""
        with available():
            (state,) = self._states([pid])
            return state

    def pid(self, phone: PhoneNumber) -> str:
        """The keyed hash that names the phone's keys."""
        return self._codes.pid(phone)

    def code(self, state: PhoneState) -> str | None:
        """The active code; None if its length is not the present one, because no user can enter it then."""
        if state.nonce is None or state.nonce[0] != f"{self._policy.length:x}":
            return None
        return self._codes.derive_for(state.pid, state.nonce)

    def _states(self, pids: Sequence[str]) -> list[PhoneState]:
        seconds, micros = self._redis.time()
        now = int(seconds) * 1000 + int(micros) // 1000
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for pid in pids:
            names = PhoneKeys(pid)
            pipeline.hmget(names.code, "phone", "nonce", "verified")
            pipeline.pttl(names.code)
            pipeline.hgetall(names.tries)
            pipeline.lrange(names.sends, 0, -1)
            # Sessions that have expired leave the set only at the next login.
            pipeline.zcount(names.sessions, f"({now - 1000 * self._policy.session_lifetime}", "+inf")
        replies = pipeline.execute()
        return [self._state(pid, replies[5 * i : 5 * i + 5], now / 1000) for i, pid in enumerate(pids)]

    def _state(self, pid: str, reply: Sequence[Any], now: float) -> PhoneState:
        (masked, nonce, verified), code_left, kept, entries, sessions = reply
        # Sends that no longer count may be in the list, for verify.lua.
        horizon = max(self._policy.failure_period, *(w.seconds for w in self._policy.windows))
        sends = tuple(send for send in map(_send, entries) if send.at > now - horizon)
        # The hash may outlive the tries because of the budgets in it.
        used = int(kept.get(b"tries", 0)) if int(kept.get(b"tries_end", 0)) > 1000 * now else 0
        failed, failures_end = _budget(kept.get(b"failures"), now)
        by_client = [
            _budget(value, now)[0] for field, value in kept.items() if field.startswith(b"failures:")
        ]
        state: State = "idle"
        if failed >= self._policy.common_failures:
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
            failures_left=max(0.0, failures_end - now),
            locked_clients=sum(count >= self._policy.max_failures_per_client for count in by_client),
            sessions=int(sessions),
        )


def _send(entry: bytes) -> Send:
    at, send_id, _, channel = entry.decode().split(":")
    return Send(int(at) / 1000, send_id, "call" if channel == "call" else "sms")


def _budget(value: bytes | None, now: float) -> tuple[int, float]:
    """Count and expiry, in seconds since 1970, of a failure budget; a budget that has expired is 0."""
    if value is None:
        return 0, now
    count, ends = map(int, value.split(b":"))
    return (count, ends / 1000) if ends / 1000 > now else (0, now)
