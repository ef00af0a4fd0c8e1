"""The last sends of each phone with their outcomes. They are only for people. No decision reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from otp_gateway.events import Batch, Lane, SendEvent, SendOutcome
from otp_gateway.model import Channel
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, Scripts

KEPT = 20
DAY_MS = 86_400_000
# A phone that has only refused sends has a shorter TTL and fewer entries, because a stranger can make the
# gateway refuse any number of phones. Two entries need less than 500 bytes.
REFUSED_MS = 600_000
REFUSED_KEPT = 2
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One entry of the list. ``at`` is in seconds since 1970; ``times``: equal refusals in a row."""

    at: float
    times: int
    id: str
    outcome: SendOutcome
    reason: str
    channel: Channel
    lane: Lane
    backend: str
    cost: int
    message_id: str
    client: str
    masked: str


class OutcomeStore:
    """Writes the lists. ``outcomes_of`` reads an entry's text."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def write(self, batch: Batch) -> None:
        """Add the sends of the batch, each once. Raises ``StoreUnavailable``."""
        by_phone: dict[str, list[SendEvent]] = {}
        for event in batch.sends:
            by_phone.setdefault(event.pid, []).append(event)
        self._scripts.run_many(
            "record",
            [
                ([PhoneKeys(pid).outcomes], [DAY_MS, REFUSED_MS, KEPT, REFUSED_KEPT, *_entries(events)])
                for pid, events in by_phone.items()
            ],
            CALL_TIMEOUT,
        )


def _entries(events: Sequence[SendEvent]) -> list[str]:
    """The entries, oldest first. Equal refusals in a row are one: a repeated batch counts them once."""
    entries = []
    # A group has the id of its last event, because the list keeps this id.
    for group in groupby(events, lambda e: e.reason if e.outcome == "refused" else e.id):
        same = list(group[1])
        last = same[-1]
        parts = (
            last.at,
            len(same),
            last.id,
            last.outcome,
            last.reason,
            last.channel,
            last.lane,
            last.backend,
            last.cost,
            last.message_id,
            last.client,
            last.masked,
        )
        entries.append(" ".join(str(part) or NOTHING for part in parts))
    return entries[-KEPT:]


def outcome_of(entry: bytes) -> Outcome:
    """The outcome in an entry of the list."""
    at, times, id_, outcome, reason, channel, lane, backend, cost, message_id, client, masked = (
        "" if part == NOTHING else part for part in entry.decode().split(" ")
    )
    return Outcome(
        at=int(at) / 1000,
        times=int(times),
        id=id_,
        outcome=cast("SendOutcome", outcome),
        reason=reason,
        channel=cast("Channel", channel),
        lane=cast("Lane", lane),
        backend=backend,
        cost=int(cost),
        message_id=message_id,
        client=client,
        masked=masked,
    )
