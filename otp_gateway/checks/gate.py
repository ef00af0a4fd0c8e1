"""The send gate: its mode, its decisions in the last day, and the used part of the send budget."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, ok, warning
from otp_gateway.errors import StoreUnavailable
from otp_gateway.settings import Settings
from otp_gateway.store.gate_figures import GateFigures

# The share of the budget at which the first alert fires.
HALF = 0.5


def look(settings: Settings, gate: GateFigures) -> Iterator[Finding]:
    """One finding for the gate, and one for each window of the budget."""
    if settings.embedded:
        return
    mode = settings.gate.mode
    if mode == "off":
        yield warning("gate", f"OTP_GATE={settings.otp_gate}, but no gate limits the sends of strangers")
        return
    try:
        decisions, budget = gate.decisions(), gate.budget()
    except StoreUnavailable:
        # The check of Redis reports that Redis is unavailable.
        return
    refused, sends = decisions["challenge"] + decisions["paused"], sum(decisions.values())
    would = "would have refused" if mode == "observe" else "refused"
    yield ok(
        "gate",
        f"OTP_GATE={mode}: in the last day, `on` {would} {refused} of {sends} sends "
        f"({decisions['challenge']} until a challenge is solved, {decisions['paused']} for longer)",
    )
    for each in budget:
        used = f"{each.sends} of {each.window.limit} sends in {each.window.seconds} s are used"
        over = each.sends >= HALF * each.window.limit
        yield (warning if over else ok)("budget", f"OTP_SEND_BUDGET: {used}")
