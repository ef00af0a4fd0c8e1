"""The nouns of the send gate: its modes, its decisions, and the credit that a login gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GateMode = Literal["observe", "on", "off"]
# free: credit was taken, or a device passed. solved: the send went out because a challenge was solved.
Decision = Literal["free", "challenge", "solved", "paused"]


@dataclass(frozen=True, slots=True)
class Earned:
    """The credit that a login gives to the send gate.

    ``charge``: the charge of the send whose code was used, as the scripts write it. ``network``: the client
    network of the login. ``first``: this is the phone's first login in a day, which earns one more credit.
    ``counts``: the login counts for its network.
    """

    charge: str
    network: str
    first: bool
    counts: bool


def gate_count(mode: str, decision: str) -> str:
    """The name under which a decision of the send gate is counted."""
    return f"gate {mode} {decision}"
