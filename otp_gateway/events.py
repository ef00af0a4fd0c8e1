"""Events for the background recording: one for each send, and one for each login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from otp_gateway.credit import Earned
from otp_gateway.model import Channel

# The backend's name in an event if no message was sent, because the phone is a test number.
TEST_NUMBERS = "test"
# ``sent``: the provider has accepted the message. ``unconfirmed``: it may have been sent. ``failed``: it was
# definitely not sent. ``refused``: the gateway did not call the provider.
SendOutcome = Literal["sent", "unconfirmed", "failed", "refused"]
Lane = Literal["common", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneEvent:
    """An event of one phone. ``at`` is in milliseconds of Redis's clock.

    ``former_pids``: the phone's keyed hashes under former secrets. ``client``: the opaque id of the client's
    network. ``prefix`` may show a digit that ``masked`` hides, so the two are never stored together.
    """

    pid: str
    former_pids: tuple[str, ...] = ()
    masked: str
    prefix: str
    client: str
    lane: Lane = "common"
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendEvent(PhoneEvent):
    """A send has its final outcome.

    ``id``: the send id, or a random id if the send was refused before it had one. ``reason``: a short label,
    empty for a message that was sent. ``backend``: the backend that sent it, or that failed last. ``cost`` is
    in Rial. ``message_id``: the provider's id of the message. ``attempts``: the messages that may have gone
    out; several if a backend was unsure and the next one has sent too.
    """

    id: str
    channel: Channel
    outcome: SendOutcome
    reason: str = ""
    backend: str = ""
    cost: int = 0
    message_id: str = ""
    attempts: int = 0

    @property
    def may_have_gone_out(self) -> bool:
        """Whether the send counts as a message."""
        return self.outcome in ("sent", "unconfirmed") and self.backend != TEST_NUMBERS


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginEvent(PhoneEvent):
    """A right code has opened a session. ``id``: the session's id, the same for a repeated request.

    ``earned``: the credit that the login gives to the send gate.
    """

    id: str
    earned: Earned | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckEvent(PhoneEvent):
    """A phone has no try left, or a failure budget of it is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedCharge:
    """On a cluster, a send was charged at the gate, and no message was sent.

    ``call_id``: the id of the call that gives the charge back. ``charge``: as the scripts write it; None if
    the reply of the gate was lost: then only ``network`` and ``prefix`` are known. ``unsure``: Redis did not
    answer, so the send ``call_id`` and its charge can be in the log of the phone ``pid``. ``began``: when
    the call of the gate began (``time.monotonic()`` seconds of this process).
    """

    call_id: str
    charge: str | None
    began: float
    pid: str = ""
    network: str = ""
    prefix: str = ""
    unsure: bool = False


Event = SendEvent | LoginEvent | StuckEvent | UnusedCharge


@dataclass(frozen=True, slots=True)
class Batch:
    """Events and counts that are written together. The same ``id`` means the same batch: a writer that has
    written it does not write it a second time.
    """

    id: str
    events: Sequence[Event]
    counts: Mapping[str, int]

    @property
    def sends(self) -> list[SendEvent]:
        """The sends among the events, oldest first."""
        return [event for event in self.events if isinstance(event, SendEvent)]

    @property
    def logins(self) -> list[LoginEvent]:
        """The logins among the events, oldest first."""
        return [event for event in self.events if isinstance(event, LoginEvent)]

    @property
    def stuck(self) -> list[StuckEvent]:
        """The phones that have run out of tries, oldest first."""
        return [event for event in self.events if isinstance(event, StuckEvent)]

    @property
    def unused(self) -> list[UnusedCharge]:
        """The charges of sends that were not made, oldest first."""
        return [event for event in self.events if isinstance(event, UnusedCharge)]
