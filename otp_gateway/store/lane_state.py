"""The state of one lane of a phone: its code, tries, windows and failure budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from otp_gateway.model import DEVICE_WINDOWS, Channel, Policy, Window
from otp_gateway.store.client import Pipeline
from otp_gateway.store.keys import PhoneKeys

State = Literal["active", "exhausted", "locked", "verified", "idle"]
STATES: tuple[State, ...] = ("active", "exhausted", "locked", "verified", "idle")


@dataclass(frozen=True, slots=True)
class Send:
    """One send in the log of sends, from which the windows are computed. ``at`` is in seconds since 1970."""

    at: float
    send_id: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class WindowUse:
    """The sends in one window of the phone. ``wait``: seconds until another send is allowed; 0 means now."""

    window: Window
    used: int
    wait: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Failed verifies of a phone, or of one client network for it. ``left``: seconds until they expire."""

    client: str
    failures: int
    most: int
    left: float

    @property
    def used_up(self) -> bool:
        """Whether the next request is refused."""
        return self.failures >= self.most


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class LaneState:
    """The present state of a lane. Remaining times are in seconds; ``now`` is in seconds since 1970.

    ``tries_left``: seconds until the wrong tries expire. ``clients``: the budgets of the client networks that
    have failures. It is empty in the device lane.
    """

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

    @property
    def locked_clients(self) -> tuple[Budget, ...]:
        """The client networks whose budget for this phone is used up."""
        return tuple(budget for budget in self.clients if budget.used_up)

    @property
    def wait(self) -> float:
        """Seconds until the windows allow another send; 0 means now."""
        return max((use.wait for use in self.windows), default=0.0)

    @property
    def has_data(self) -> bool:
        """Whether Redis has data of the lane that still count."""
        return self.state != "idle" or bool(self.tries or self.sends or self.failures.failures)


# The number of commands that ``add_lane_reads`` adds.
REPLIES = 4


def add_lane_reads(pipeline: Pipeline, names: PhoneKeys) -> None:
    """Add the commands that read the lane."""
    pipeline.hmget(names.code, "phone", "nonce", "verified")
    pipeline.pttl(names.code)
    pipeline.hgetall(names.tries)
    pipeline.lrange(names.sends, 0, -1)


def read_lane(reply: Sequence[Any], now_ms: int, policy: Policy, *, device: bool) -> LaneState:
    """Make the lane's state from the replies to these commands."""
    (masked, nonce, verified), code_left, kept, entries = reply
    windows = DEVICE_WINDOWS if device else policy.windows
    now = now_ms / 1000
    # The list can hold sends that no longer count: verify.lua needs the last one.
    horizon = max(policy.failure_period, *(w.seconds for w in windows))
    sends = tuple(send for send in map(_send, entries) if send.at > now - horizon)
    sent = bool(sends) and sends[-1].at > now - policy.failure_period
    tries, tries_left = _tries(kept, now)
    most = policy.device_failures if device else policy.common_failures
    budgets = _budgets(kept, now, (most, policy.max_failures_per_client), sent=sent, tries=tries)
    state: State = "idle"
    # If the device lane is switched off (OTP_DEVICE_DAYS is 0), its remaining data lock no client.
    if most and budgets[0].used_up:
        state = "locked"
    elif tries >= policy.max_attempts:
        state = "exhausted"
    elif nonce:
        state = "active"
    elif verified:
        state = "verified"
    return LaneState(
        masked=masked.decode() if masked else None,
        state=state,
        now=now,
        code_left=max(0, code_left) / 1000 if nonce else 0.0,
        nonce=nonce.decode() if nonce else None,
        tries=tries,
        tries_left=tries_left,
        sends=sends,
        windows=tuple(_use(window, sends, now) for window in windows),
        failures=budgets[0],
        clients=tuple(budgets[1:]),
    )


def _send(entry: bytes) -> Send:
    # The charge of the gate can follow.
    at, send_id, _, channel, *_ = entry.decode().split(":")
    return Send(int(at) / 1000, send_id, cast("Channel", channel))


def _use(window: Window, sends: Sequence[Send], now: float) -> WindowUse:
    used = [send for send in sends if send.at > now - window.seconds]
    # Another send is allowed when only limit - 1 of these sends are still in the window.
    wait = used[-window.limit].at + window.seconds - now if len(used) >= window.limit else 0.0
    return WindowUse(window, len(used), max(0.0, wait))


def _tries(kept: dict[bytes, bytes], now: float) -> tuple[int, float]:
    """The wrong tries, and the seconds until they expire. The hash can expire later: it also has budgets."""
    left = int(kept.get(b"tries_end", 0)) / 1000 - now
    return (int(kept.get(b"tries", 0)), left) if left > 0 else (0, 0.0)


def _budgets(
    kept: dict[bytes, bytes], now: float, most: tuple[int, int], *, sent: bool, tries: int
) -> list[Budget]:
    """The budget of the phone, and the budgets of client networks, as common.lua reads them.

    ``most``: the sizes of the two kinds of budget. Failures that were counted while the phone had no send
    ("unsent") count only until the tries expire, and only as long as the phone still has no send.
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
    of_phone, of_client = most
    phone = counts.pop("")
    clients = [Budget(client, count, of_client, left) for client, (count, left) in counts.items()]
    clients.sort(key=lambda budget: (-budget.failures, budget.client))
    return [Budget("", phone[0], of_phone, phone[1]), *clients]
