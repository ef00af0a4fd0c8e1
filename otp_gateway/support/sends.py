"""The sends of a phone, each with its known facts: from the phone's log of sends and from the records."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.model import Channel
from otp_gateway.recorder import FLUSH_SECONDS
from otp_gateway.store.outcomes import Outcome
from otp_gateway.store.phone_state import PhoneState

# A worker that is busy may write its records some seconds late.
GRACE_SECONDS = FLUSH_SECONDS + 3
MOST = 20


@dataclass(frozen=True, slots=True)
class ListedSend:
    """One send. ``outcome`` is None if no outcome is recorded; ``in_progress``: it may still come."""

    at: float
    id: str
    channel: Channel
    outcome: Outcome | None = None
    in_progress: bool = False


def sends_of(state: PhoneState, timeout: float) -> list[ListedSend]:
    """The sends, newest first. A send whose worker died has no outcome. ``timeout``: seconds of one send."""
    known = {outcome.id: outcome for outcome in state.outcomes}
    # Sends that issue.lua has charged, and that have no record yet. Withdrawn and refused sends are only in
    # the records.
    found = [
        ListedSend(
            send.at,
            send.send_id,
            send.channel,
            in_progress=state.now - send.at < timeout + GRACE_SECONDS,
        )
        for send in (*state.sends, *(state.device.sends if state.device else ()))
        if send.send_id not in known and not _is_older(send.at, state)
    ]
    found += [ListedSend(outcome.at, outcome.id, outcome.channel, outcome) for outcome in state.outcomes]
    return sorted(found, key=lambda send: send.at, reverse=True)[:MOST]


def _is_older(at: float, state: PhoneState) -> bool:
    """Whether the list of outcomes is full and begins after this send: then it has no entry of it."""
    return len(state.outcomes) >= MOST and at < state.outcomes[-1].at
