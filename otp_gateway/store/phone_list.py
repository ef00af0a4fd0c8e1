"""The panel's list of phones: newest first over all pages, with filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from otp_gateway.model import Policy
from otp_gateway.store import keys
from otp_gateway.store.lane_state import State
from otp_gateway.store.phone_state import PhoneState, PhoneStateStore
from otp_gateway.store.recent_phones import Position, RecentPhone, RecentPhones

PAGE = 25
# A search through many phones stops after so many seconds. The next page continues it.
PAGE_SECONDS = 1.0
# The number of phones that are read together if the filter shows only some of them.
AT_ONCE = 100
# Phones in these states are in the index of phones without a try, which is short.
STUCK: tuple[State, ...] = ("exhausted", "locked")
# These states end when the lifetime of the code ends.
SHORT: tuple[State, ...] = ("active", "verified")
Wanted = State | Literal["", "not-sent"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Decides which phones a list shows. ``matches``: whether it shows a phone with this masked number."""

    state: Wanted = ""
    matches: Callable[[str], bool] | None = None

    def fits(self, state: PhoneState) -> bool:
        """Whether the list shows a phone in this state."""
        if self.state == "not-sent":
            return bool(state.outcomes) and state.outcomes[0].outcome != "sent"
        return self.state in ("", state.state)


@dataclass(frozen=True, slots=True)
class ListedPhone:
    """A phone in the list. ``at``: its last send (if it is stuck: its last refusal), in s since 1970."""

    at: float
    masked: str
    state: PhoneState


@dataclass(frozen=True, slots=True)
class Page:
    """Some phones, newest first. ``after``: the position at which the next page begins, or None."""

    phones: tuple[ListedPhone, ...]
    after: Position | None


class PhoneList:
    """Reads pages. Every method raises ``StoreUnavailable``."""

    def __init__(self, recent: RecentPhones, states: PhoneStateStore, policy: Policy) -> None:
        self._recent = recent
        self._states = states
        self._policy = policy

    def page(self, wanted: Filter, before: Position | None = None) -> Page:
        """The newest phones that fit, from the position on."""
        ends = time.monotonic() + PAGE_SECONDS
        found: list[ListedPhone] = []
        position = before
        reading = self._reading(wanted, before)
        # One more phone than a page has shows whether there is a next page.
        at_once = AT_ONCE if wanted.state else PAGE + 1
        while part := list(islice(reading, at_once)):
            states = self._states.phones([phone.pids for phone in part], outcomes=1)
            for phone, state in zip(part, states, strict=True):
                if not wanted.fits(state):
                    continue
                if len(found) == PAGE:
                    return Page(tuple(found), position)
                found.append(ListedPhone(phone.position.at / 1000, phone.masked, state))
                position = phone.position
            # It is possible that no phone after it fits.
            if len(found) < PAGE:
                position = part[-1].position
            if time.monotonic() > ends:
                return Page(tuple(found), position)
        return Page(tuple(found), None)

    def _reading(self, wanted: Filter, before: Position | None) -> Iterator[RecentPhone]:
        name = keys.STUCK_PHONES if wanted.state in STUCK else keys.RECENT_PHONES
        oldest = self._recent.now_ms() - 1000 * self._policy.lifetime if wanted.state in SHORT else 0
        seen: set[str] = set()
        for phone in self._recent.newest(name, before):
            if phone.position.at < oldest:
                return
            if phone.pids[0] in seen or (wanted.matches and not wanted.matches(phone.masked)):
                continue
            # A phone can be twice in the index: this happens if the operator has removed a former secret.
            seen.add(phone.pids[0])
            yield phone
