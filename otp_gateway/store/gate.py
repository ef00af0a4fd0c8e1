"""The send gate in Redis: its keys and arguments for the scripts, and the credit that is given back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from otp_gateway.credit import Decision, Earned
from otp_gateway.errors import StoreUnavailable
from otp_gateway.events import UnusedCharge
from otp_gateway.model import Caller, GateRules, PhoneNumber, SendRequest
from otp_gateway.phones import prefix_of
from otp_gateway.store import keys
from otp_gateway.store.charge import Charge
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Reply, Scripts, deadline

# How long Redis remembers that it has given credit back.
REMEMBERED_MS = 3_600_000
# Used as the pool of a charge that only Redis knows, because the reply of gate.lua was lost.
UNKNOWN = "?"


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
class Ticket:
    """A decision that the gate has made before issue.lua, on a cluster.

    ``record``: the decision as gate.lua writes it, for issue.lua. ``charge``: the charge of the send, or an
    empty text. ``unused``: the same charge as an event, for a send that is not made.
    """

    call_id: str
    record: str
    charge: str
    unused: UnusedCharge


class GateStore:
    """The gate's keys. Every method that calls Redis raises ``StoreUnavailable``."""

    def __init__(
        self,
        scripts: Scripts,
        rules: GateRules,
        is_foreign: Callable[[PhoneNumber], bool],
        *,
        apart: bool = False,
        report: Callable[[UnusedCharge], None] = lambda _: None,
    ) -> None:
        """``apart``: the keys of the gate and the keys of a phone are in different slots of a cluster.

        ``report``: called with each charge that is given back in the background.
        """
        self.apart = apart
        self._report = report
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

    def decide(
        self, call_id: str, pid: str, send: SendRequest, caller: Caller, *, solved: bool
    ) -> Ticket | None:
        """On a cluster, decide about a send, and charge it. Otherwise, issue.lua does this itself."""
        if not self.apart:
            return None
        unused = UnusedCharge(
            call_id=call_id,
            charge=None,
            began=time.monotonic(),
            pid=pid,
            network=caller.client,
            prefix=prefix_of(send.phone),
        )
        try:
            record = self._decide(call_id, send, caller, solved=solved)
        except StoreUnavailable:
            self._report(unused)
            raise
        taken = record.split(" ")[4]
        charge = "" if taken == "-" else taken
        return Ticket(call_id, record, charge, replace(unused, charge=charge))

    def _decide(self, call_id: str, send: SendRequest, caller: Caller, *, solved: bool) -> str:
        # Only issue.lua can decide about a device.
        device = caller.device_made_at is not None
        mode, credit, *others = self.arguments(send)
        reply = self._scripts.run(
            "gate",
            [keys.gate_call(call_id), *self._names(send.phone, caller.client)],
            [deadline(caller.clock), mode, caller.client, credit, *others, int(solved), int(device)],
            CALL_TIMEOUT,
        )
        if reply[0] != "decided":
            raise StoreUnavailable(LATE)
        return str(reply[1].decode())

    def give_back_unused(self, ticket: Ticket, reply: Reply | None) -> None:
        """Give back what the send has not used, by the reply of issue.lua. None: Redis has not replied."""
        if reply is None:
            # issue.lua can have run. The recorder reads the phone's log before it gives the charge back.
            self._report(replace(ticket.unused, unsure=True))
            return
        kept = reply[5].decode() if reply[0] == "issued" else ""
        if not kept:
            self.cancel(ticket.unused)
        elif kept != ticket.charge:
            # A device takes no credit, but it counts in the budget.
            self.cancel(replace(ticket.unused, charge=ticket.charge.replace("m", "", 1)))

    def withdrawn(self, send_id: str, charge: str) -> None:
        """On a cluster, give back the charge of a send that definitely failed."""
        self.cancel(UnusedCharge(call_id=f"{send_id}:withdrawn", charge=charge, began=time.monotonic()))

    def cancel(self, unused: UnusedCharge) -> None:
        """Give back the whole charge of a send that did not go out: now, or else in the background."""
        try:
            self.cancel_now(unused)
        except StoreUnavailable:
            self._report(unused)

    def cancel_now(self, unused: UnusedCharge) -> None:
        """Give back the whole charge of a send that did not go out. A repeated call has no effect."""
        if unused.charge is None:
            found: Charge | None = Charge("", UNKNOWN, unused.network, unused.prefix, "")
        else:
            found = Charge.read(unused.charge)
        if found:
            credits_ = int("f" in found.letters)
            self._give_back(unused.call_id, [found.names()], [found.arguments(credits_, whole=True)])

    def give_back(self, call_id: str, earned: Sequence[Earned], messages: int = 0) -> int:
        """Give back the charges of sends whose codes logins have used. A repeated call has no effect.

        ``messages``: messages that sends have made in addition to the first one; the budget counts them now.
        Returns the percentage of the budget that is reached now, or 0.
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
