"""The state of phones, by their keyed hashes: what support staff see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from otp_gateway.model import Channel, Policy, Window
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.outcomes import KEPT, Outcome, outcome_of
from otp_gateway.store.scripts import available

State = Literal["active", "exhausted", "locked", "verified", "idle"]
STATES: tuple[State, ...] = ("active", "exhausted", "locked", "verified", "idle")


@dataclass(frozen=True, slots=True)
class Send:
    """One send that the phone's windows know. ``at`` is in seconds since 1970."""

    at: float
    send_id: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class WindowUse:
    """The sends in one window of the phone. ``wait``: seconds until another send fits, 0 for now."""

    window: Window
    used: int
    wait: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Failed verifies of the phone, or of one client network for it. ``left``: seconds until it is free."""

    client: str
    failures: int
    most: int
    left: float

    @property
    def used_up(self) -> bool:
        """Whether the next request is refused."""
        return self.failures >= self.most


@dataclass(frozen=True, slots=True, repr=False)
class PhoneState:
    """All that is known of a phone now. Times left are in seconds; ``now`` is in seconds since 1970.

    ``pids``: its keyed hash, and those under former secrets. ``tries_left``: seconds until the wrong tries
    expire. ``clients``: the budgets of client networks that have failures. ``former_sessions``: sessions made
    under former secrets. ``outcomes``: the last sends, newest first, as the recorder has written them.
    """

    pids: tuple[str, ...]
    masked: str | None
    state: State
    now: float
    code_left: float
    nonce: str | None
    tries: int
    tries_left: float
    sends: tuple[Send, ...]
    windows: tuple[WindowUse, ...]
    failures: Budget
    clients: tuple[Budget, ...]
    sessions: int
    former_sessions: int
    outcomes: tuple[Outcome, ...]

    @property
    def pid(self) -> str:
        """The keyed hash that names its keys."""
        return self.pids[0]

    @property
    def reference(self) -> str:
        """All its keyed hashes in one word, for URLs."""
        return ".".join(self.pids)

    @property
    def locked_clients(self) -> tuple[Budget, ...]:
        """The client networks whose budget for this phone is used up."""
        return tuple(budget for budget in self.clients if budget.used_up)

    @property
    def wait(self) -> float:
        """Seconds until the windows let another send through; 0 for now."""
        return max((use.wait for use in self.windows), default=0.0)


class PhoneStateStore:
    """Reads phones. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, policy: Policy) -> None:
        self._redis = redis
        self._policy = policy

    def phone(self, pids: Sequence[str]) -> PhoneState:
        """One phone's state; a phone without any key is idle."""
        return self.phones([pids], outcomes=KEPT)[0]

    def phones(self, all_pids: Sequence[Sequence[str]], *, outcomes: int) -> list[PhoneState]:
        """The states of several phones, each with so many outcomes, in two round trips."""
        with available():
            seconds, micros = self._redis.time()
            now = int(seconds) * 1000 + int(micros) // 1000
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            # Sessions that have expired leave the set only at the next login.
            valid = f"({now - 1000 * self._policy.session_lifetime}"
            for pid, *former in all_pids:
                names = PhoneKeys(pid)
                pipeline.hmget(names.code, "phone", "nonce", "verified")
                pipeline.pttl(names.code)
                pipeline.hgetall(names.tries)
                pipeline.lrange(names.sends, 0, -1)
                pipeline.lrange(names.outcomes, 0, outcomes - 1)
                pipeline.zcount(names.sessions, valid, "+inf")
                for other in former:
                    pipeline.zcount(PhoneKeys(other).sessions, valid, "+inf")
            replies = iter(pipeline.execute())
        return [
            self._state(tuple(pids), [next(replies) for _ in range(5 + len(pids))], now) for pids in all_pids
        ]

    def _state(self, pids: tuple[str, ...], reply: Sequence[Any], now_ms: int) -> PhoneState:
        (masked, nonce, verified), code_left, kept, entries, outcomes, *sessions = reply
        policy, now = self._policy, now_ms / 1000
        # Sends that no longer count may be in the list, for verify.lua.
        horizon = max(policy.failure_period, *(w.seconds for w in policy.windows))
        sends = tuple(send for send in map(_send, entries) if send.at > now - horizon)
        sent = bool(sends) and sends[-1].at > now - policy.failure_period
        recorded = tuple(map(outcome_of, outcomes))
        tries, tries_left = _tries(kept, now)
        budgets = _budgets(kept, now, policy, sent=sent, tries=tries)
        state: State = "idle"
        if budgets[0].used_up:
            state = "locked"
        elif tries >= policy.max_attempts:
            state = "exhausted"
        elif nonce:
            state = "active"
        elif verified:
            state = "verified"
        return PhoneState(
            pids=pids,
            masked=masked.decode() if masked else recorded[0].masked if recorded else None,
            state=state,
            now=now,
            code_left=max(0, code_left) / 1000 if nonce else 0.0,
            nonce=nonce.decode() if nonce else None,
            tries=tries,
            tries_left=tries_left,
            sends=sends,
            windows=tuple(_use(window, sends, now) for window in policy.windows),
            failures=budgets[0],
            clients=tuple(budgets[1:]),
            sessions=int(sessions[0]),
            former_sessions=sum(map(int, sessions[1:])),
            outcomes=recorded,
        )


def _send(entry: bytes) -> Send:
    at, send_id, _, channel = entry.decode().split(":")
    return Send(int(at) / 1000, send_id, cast("Channel", channel))


def _use(window: Window, sends: Sequence[Send], now: float) -> WindowUse:
    used = [send for send in sends if send.at > now - window.seconds]
    # A send fits again when all but limit - 1 of them have left the window.
    wait = used[-window.limit].at + window.seconds - now if len(used) >= window.limit else 0.0
    return WindowUse(window, len(used), max(0.0, wait))


def _tries(kept: dict[bytes, bytes], now: float) -> tuple[int, float]:
    """The wrong tries, and seconds until they expire. The hash may expire later, with its budgets."""
    left = int(kept.get(b"tries_end", 0)) / 1000 - now
    return (int(kept.get(b"tries", 0)), left) if left > 0 else (0, 0.0)


def _budgets(kept: dict[bytes, bytes], now: float, policy: Policy, *, sent: bool, tries: int) -> list[Budget]:
    """The phone's budget, and then those of client networks, as common.lua reads them.

    Failures of a time without any send ("unsent") count only until the tries expire, and only while there was
    no send.
    """
    counts: dict[str, tuple[int, float]] = {"": (0, 0.0)}
    for field, value in kept.items():
        name, _, client = field.decode().partition(":")
        if name != "failures" and (name != "unsent" or sent or not tries):
            continue
        count, ends = map(int, value.split(b":"))
        if ends / 1000 > now:
            known, left = counts.get(client, (0, 0.0))
            counts[client] = known + count, max(left, ends / 1000 - now)
    most = policy.max_failures_per_client
    phone = counts.pop("")
    clients = [Budget(client, count, most, left) for client, (count, left) in counts.items()]
    clients.sort(key=lambda budget: (-budget.failures, budget.client))
    return [Budget("", phone[0], policy.common_failures, phone[1]), *clients]
