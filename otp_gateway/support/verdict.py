"""Sentences about a phone's user: what happens now, and for how long. Panel and commands use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from otp_gateway.model import Policy
from otp_gateway.store.lane_state import LaneState
from otp_gateway.store.phone_state import PhoneState
from otp_gateway.support.reasons import reason_words
from otp_gateway.support.words import Words

Action = Literal["unlock", "void", "clear-sends", "end-sessions", "forget-devices", "unmute"]
# A refusal by one of these limits has a sentence of its own.
LIMITS = frozenset(
    {"phone", "device", "tries", "client_failures", "phone_failures", "device_failures", "paused_muted"}
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence. ``action``: what an operator can do about it. ``stops``: whether it stops the user."""

    text: str
    action: Action | None = None
    stops: bool = True


def verdict(state: PhoneState, policy: Policy, words: Words, *, muted: float = 0.0) -> list[Sentence]:
    """The sentences about the phone; the first one matters most. ``muted``: seconds for which it is muted."""
    found = [*_muted(muted, words), *_locked(state, words), *_tries(state, policy, words)]
    # The lock of the phone lasts longer than its windows.
    if not state.failures.used_up:
        found += _windows(state, words)
    found += _device(state, policy, words)
    found += _last_send(state, words)
    if _has_code(state, policy):
        left = policy.max_attempts - state.tries
        text = words("verdict.active", left=words.left(state.code_left), tries=left)
        found.append(Sentence(text, stops=False))
    elif state.state == "verified" and not _has_code(state.device, policy):
        found.append(Sentence(words("verdict.verified"), stops=False))
    if not any(sentence.stops for sentence in found):
        found.insert(0, Sentence(words("verdict.free"), stops=False))
    return found


def _muted(muted: float, words: Words) -> Iterator[Sentence]:
    if muted:
        yield Sentence(words("verdict.muted", left=words.left(muted)), "unmute")


def _locked(state: PhoneState, words: Words) -> Iterator[Sentence]:
    budget = state.failures
    if budget.used_up:
        text = words("verdict.locked", left=words.left(budget.left), failures=budget.failures)
        yield Sentence(text, "unlock")
    locked = state.locked_clients
    if locked and not budget.used_up:
        key = "verdict.locked_network" if len(locked) == 1 else "verdict.locked_networks"
        longest = max(client.left for client in locked)
        text = words(key, left=words.left(longest), failures=locked[0].failures, networks=len(locked))
        yield Sentence(text, "unlock")


def _tries(state: PhoneState, policy: Policy, words: Words) -> Iterator[Sentence]:
    if state.tries < policy.max_attempts or state.failures.used_up:
        return
    key = "verdict.tries_code" if state.nonce else "verdict.tries_no_code"
    text = words(key, left=words.left(state.tries_left), used=state.tries, most=policy.max_attempts)
    yield Sentence(text, "unlock")


def _windows(state: PhoneState, words: Words) -> Iterator[Sentence]:
    full = max(state.windows, key=lambda use: use.wait, default=None)
    if full and full.wait:
        text = words(
            "verdict.wait",
            left=words.left(max(1.0, full.wait)),
            used=full.used,
            limit=full.window.limit,
            window=words.length(full.window.seconds),
        )
        yield Sentence(text, "clear-sends")


def _device(state: PhoneState, policy: Policy, words: Words) -> Iterator[Sentence]:
    """The sentences about the device lane. It stops no user, because a device can go on without its token."""
    lane = state.device
    if lane is None:
        return
    if lane.failures.used_up and lane.failures.most:
        text = words(
            "verdict.device_locked", left=words.left(lane.failures.left), failures=lane.failures.failures
        )
        yield Sentence(text, "forget-devices", stops=False)
    elif _has_code(lane, policy):
        left, tries = words.left(lane.code_left), policy.max_attempts - lane.tries
        yield Sentence(words("verdict.device_active", left=left, tries=tries), stops=False)


def _has_code(lane: LaneState | None, policy: Policy) -> bool:
    """Whether the user can sign in with a code of this lane, as far as its tries decide."""
    return lane is not None and lane.nonce is not None and lane.tries < policy.max_attempts


def _last_send(state: PhoneState, words: Words) -> Iterator[Sentence]:
    last = next((o for o in state.outcomes if o.reason not in LIMITS), None)
    if last is None or last.outcome == "sent" or state.state == "verified":
        return
    key = "verdict.unconfirmed" if last.outcome == "unconfirmed" else "verdict.not_sent"
    yield Sentence(words(key, reason=reason_words(words, last.reason, last.backend)))
