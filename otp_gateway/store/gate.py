"""The send gate in Redis: its keys and arguments for the scripts, and the credit that is given back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from otp_gateway.credit import Decision, Earned
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import Caller, GateRules, PhoneNumber, SendRequest
from otp_gateway.phones import prefix_of
from otp_gateway.store import keys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Reply, Scripts, deadline

# How long Redis remembers that it has given credit back.
REMEMBERED_MS = 3_600_000
# The first letter of a charge.
DECISIONS: dict[str, Decision] = {
    "f": "free",
    "d": "free",
    "s": "solved",
    "c": "challenge",
    "p": "paused",
}


class GateRefusal(Exception):
    """The gate refuses a send. ``step``: how hard the client's challenge should be."""

    def __init__(self, decision: Decision, reason: str, step: int) -> None:
        super().__init__(reason)
        self.decision = decision
        self.reason = reason
        self.step = step

    @classmethod
    def read(cls, decision: bytes, reason: bytes, step: int) -> GateRefusal:
        """Make the error from the values of a script's reply."""
        known: dict[bytes, Decision] = {b"challenge": "challenge"}
        return cls(known.get(decision, "paused"), reason.decode(), step)


@dataclass(frozen=True, slots=True)
class Charge:
    """The credit that one send has taken, as credit.lua writes it: ``letters.pool.network.prefix.time``."""

    letters: str
    pool: str
    network: str
    prefix: str
    at: str

    @classmethod
    def read(cls, text: str) -> Charge | None:
        """Read a charge. None: the send has taken no credit."""
        return cls(*text.split(".")) if text.count(".") == 4 else None  # its five parts

    def arguments(self, credits_: int, *, counts: bool = False, whole: bool = False) -> list[str | int]:
        """The arguments of give_back.lua. ``whole``: no message was sent, so give back the whole charge."""
        solved = self.at if whole and "s" in self.letters else ""
        paid = self.at if whole and "m" in self.letters else ""
        return [self.pool, credits_, int(bool(self.prefix)), solved, paid, int(counts)]

    def names(self, login: str = "") -> list[str]:
        """The keys of give_back.lua."""
        return [
            keys.gate_network(self.network),
            keys.gate_prefix(self.prefix),
            keys.gate_network(login or self.network),
        ]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A decision that the gate has made before issue.lua, on a cluster.

    ``record``: the decision as gate.lua writes it, for issue.lua. ``charge``: the charge of the send, or an
    empty text.
    """

    call_id: str
    record: str
    charge: str


def decision_of(charge: str) -> Decision | None:
    """The decision about a send that has this charge."""
    return DECISIONS.get(charge[:1])


def read_earned(earned: Sequence[Any], network: str) -> Earned | None:
    """Read the last values of verify.lua's reply. A repeated reply does not have them."""
    if not any(earned):
        return None
    charge, first, counts = earned
    return Earned(charge.decode(), network, bool(first), bool(counts))


class GateStore:
    """The gate's keys. Every method that calls Redis raises ``StoreUnavailable``."""

    def __init__(
        self,
        scripts: Scripts,
        rules: GateRules,
        is_foreign: Callable[[PhoneNumber], bool],
        *,
        apart: bool = False,
    ) -> None:
        """``apart``: the keys of the gate and the keys of a phone are in different slots of a cluster."""
        self.apart = apart
        self._scripts = scripts
        self._rules = rules
        self._is_foreign = is_foreign
        self._budget = " ".join(f"{w.limit}/{1000 * w.seconds}" for w in rules.budget)

    @property
    def is_on(self) -> bool:
        """Whether sends take credit."""
        return self._rules.mode != "off"

    def names(self, phone: PhoneNumber, client: str) -> list[str]:
        """The keys of the gate for a send, in the order of credit.lua."""
        # A cluster refuses a script with keys of two slots.
        return [] if self.apart else self._names(phone, client)

    def _names(self, phone: PhoneNumber, client: str) -> list[str]:
        return [
            keys.GATE_SHARED,
            keys.gate_network(client),
            keys.gate_prefix(prefix_of(phone)),
            keys.GATE_MONEY,
            keys.GATE_PAUSES,
        ]

    def arguments(self, send: SendRequest) -> list[str | int]:
        """Mode, credit, prefix, whether the prefix is foreign, and the budget."""
        # A test number gets no message, so it needs no gate.
        mode = "off" if send.channel == "test" else self._rules.mode
        foreign = int(self._is_foreign(send.phone))
        return [mode, self._rules.credit, prefix_of(send.phone), foreign, self._budget]

    @property
    def prices(self) -> list[str | int]:
        """The arguments with which a script gives credit back: the credit of the pools, and the budget."""
        return [self._rules.credit, self._budget]

    def decide(self, call_id: str, send: SendRequest, caller: Caller, *, solved: bool) -> Ticket | None:
        """On a cluster, decide about a send, and charge it. Otherwise, issue.lua does this itself."""
        if not self.apart:
            return None
        phone, client = send.phone, caller.client
        # Only issue.lua can decide about a device.
        device = caller.device_made_at is not None
        mode, credit, *others = self.arguments(send)
        reply = self._scripts.run(
            "gate",
            [keys.gate_call(call_id), *self._names(phone, client)],
            [deadline(caller.clock), mode, client, credit, *others, int(solved), int(device)],
            CALL_TIMEOUT,
        )
        if reply[0] != "decided":
            raise StoreUnavailable(LATE)
        record = reply[1].decode()
        charge = record.split(" ")[4]
        return Ticket(call_id, record, "" if charge == "-" else charge)

    def give_back_unused(self, ticket: Ticket, reply: Reply) -> None:
        """Give back what the send has not used, by the reply of issue.lua. Credit can get lost here."""
        kept = reply[5].decode() if reply[0] == "issued" else ""
        with suppress(StoreUnavailable):
            if not kept:
                self.cancel(ticket.call_id, ticket.charge)
            elif kept != ticket.charge:
                # A device takes no credit, but it counts in the budget.
                self.cancel(ticket.call_id, ticket.charge.replace("m", "", 1))

    def cancel(self, call_id: str, charge: str) -> None:
        """Give back the whole charge of a send that did not go out."""
        found = Charge.read(charge)
        if found:
            credits_ = int("f" in found.letters)
            self._give_back(call_id, [found.names()], [found.arguments(credits_, whole=True)])

    def give_back(self, call_id: str, earned: Sequence[Earned], messages: int = 0) -> int:
        """Give back what the sends before logins have taken; percent of the budget that is reached, or 0.

        ``messages``: what sends have cost beyond one message each; the budget counts them now. A repeated
        call with the same id does nothing.
        """
        names, args = [], []
        for login in earned:
            charge = Charge.read(login.charge) or Charge("", "new", login.network, "", "")
            credits_ = int("f" in charge.letters) + int(login.first)
            names.append(charge.names(login.network))
            args.append(charge.arguments(credits_, counts=login.counts))
        return self._give_back(call_id, names, args, messages)

    def _give_back(
        self,
        call_id: str,
        names: Sequence[list[str]],
        args: Sequence[list[str | int]],
        messages: int = 0,
    ) -> int:
        _, percent = self._scripts.run(
            "give_back",
            [
                *(keys.gate_call(call_id), keys.GATE_SHARED, keys.GATE_MONEY),
                *(name for each in names for name in each),
            ],
            [*self.prices, REMEMBERED_MS, messages, *(arg for each in args for arg in each)],
            CALL_TIMEOUT,
        )
        return int(percent)
