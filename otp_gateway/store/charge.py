"""The charge of a send at the gate, as credit.lua writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from otp_gateway.credit import Decision, Earned
from otp_gateway.store import keys

# The first letter of a charge.
DECISIONS: dict[str, Decision] = {
    "f": "free",
    "d": "free",
    "s": "solved",
    "c": "challenge",
    "p": "paused",
}


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


def decision_of(charge: str) -> Decision | None:
    """The decision about a send that has this charge."""
    return DECISIONS.get(charge[:1])


def read_earned(earned: Sequence[Any], network: str) -> Earned | None:
    """Read the last values of verify.lua's reply. A repeated reply does not have them."""
    if not any(earned):
        return None
    charge, first, counts = earned
    return Earned(charge.decode(), network, bool(first), bool(counts))
