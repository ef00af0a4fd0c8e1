"""The delivery status of one phone's last messages, for support staff."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from otp_gateway.codes import Codes
from otp_gateway.errors import SendFailed
from otp_gateway.events import SendEvent
from otp_gateway.senders.kavenegar.codes import state_words
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.senders.kavenegar.sender import NAME
from otp_gateway.store.deliveries import DeliveryCache
from otp_gateway.store.outcomes import Outcome

# The most sends of a phone whose status is queried.
QUERIED = 3
# Seconds that a page waits for the provider, at most.
PAGE_SECONDS = 2.0
SILENT = "Unknown: the provider does not answer"


class Send(Protocol):
    """A send of the phone, as it is listed."""

    @property
    def id(self) -> str:
        """The send id."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """The recorded outcome, if any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReports:
    """Queries the provider, but not for every page.

    A report is kept for some seconds. In a worker, only one page waits at a time. So a provider that hangs
    uses only one thread. After a failure, no page calls the provider for some seconds.
    """

    reports: KavenegarReports
    codes: Codes
    cache: DeliveryCache
    waiting: threading.Lock

    def of_phone(self, pid: str, sends: Sequence[Send]) -> dict[str, str]:
        """The status, in words, by send id. Sends that were not queried are missing. ``sends``: newest first.

        Raises ``StoreUnavailable``.
        """
        numbers = self._numbers(sends)
        if not numbers:
            return {}
        known = self.cache.read(pid)
        if known is not None:
            return _in_words(known)
        if not self.waiting.acquire(blocking=False):
            return {}
        try:
            turn = self.cache.take_turn(pid)
            if turn == "call":
                states = self.reports.states(list(numbers.values()), PAGE_SECONDS)
                found = {id_: states[number] for id_, number in numbers.items() if number in states}
                self.cache.keep(pid, found)
                return _in_words(found)
        except SendFailed:
            self.cache.pause(pid)
            turn = "silent"
        finally:
            self.waiting.release()
        return dict.fromkeys(numbers, SILENT) if turn == "silent" else {}

    def at_once(self, sends: Sequence[Send]) -> dict[str, str]:
        """The status of all these sends, for a command, without the cache. Raises ``SendFailed``."""
        numbers = self._numbers(sends, len(sends))
        states = self.reports.states(list(numbers.values())) if numbers else {}
        return _in_words({id_: states[number] for id_, number in numbers.items() if number in states})

    def number_of(self, event: SendEvent) -> int | None:
        """The number of a message whose delivery is sampled."""
        if event.backend != NAME or not event.may_have_gone_out or event.channel != "sms":
            return None
        return self.reports.number_of(self.codes.reference(event.id), event.message_id)

    def _numbers(self, sends: Sequence[Send], most: int = QUERIED) -> dict[str, int]:
        """The provider's numbers of the newest sends of which it can have a report, by send id."""
        numbers: dict[str, int] = {}
        for send in sends:
            outcome = send.outcome
            if outcome and not _may_be_known(outcome):
                continue
            number = self.reports.number_of(
                self.codes.reference(send.id), outcome.message_id if outcome else ""
            )
            if number is not None and len(numbers) < most:
                numbers[send.id] = number
        return numbers


def _may_be_known(outcome: Outcome) -> bool:
    """Whether the provider may know the message: it may have gone out, or it has a message id."""
    if outcome.backend != NAME:
        return False
    return outcome.outcome in ("sent", "unconfirmed") or bool(outcome.message_id)


def _in_words(states: dict[str, int]) -> dict[str, str]:
    return {id_: state_words(state, state) for id_, state in states.items()}
