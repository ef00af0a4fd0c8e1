"""Turns the replies of issue.lua into results and errors."""

from __future__ import annotations

from otp_gateway.errors import (
    IdempotencyKeyReused,
    RequestInProgress,
    SmsBusy,
    SmsUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    TooManyOtpRequests,
)
from otp_gateway.model import Issued, Sent, Solution
from otp_gateway.store.charge import decision_of
from otp_gateway.store.gate import GateRefusal
from otp_gateway.store.scripts import LATE, Reply


class UnusableSolution(Exception):
    """The solution is right, but an earlier send has ``used`` it, or it has ``expired`` since its check."""

    def __init__(self, solution: Solution, reason: str) -> None:
        super().__init__(reason)
        self.solution = solution
        self.reason = reason


def read_issue_reply(reply: Reply, solution: Solution | None) -> Issued | Sent:
    """The result of issue.lua. The caller adds the ids of the call."""
    match reply:
        case ["issued", left, wait, device, nonce, charge, percent]:
            return Issued(
                *("", nonce.decode(), left, wait, bool(device), reply.final_at),
                gate=decision_of(charge.decode()),
                budget_reached=percent,
            )
        case ["sent", left, wait]:
            return Sent(left, wait)
        case ["unconfirmed"]:
            raise SmsUnconfirmed("earlier", fault="temporary")
        case ["in_progress"]:
            raise RequestInProgress
        case ["reused"]:
            raise IdempotencyKeyReused
        case _:
            raise _refusal(reply, solution)


def _refusal(reply: Reply, solution: Solution | None) -> Exception:
    """The error of a refused send. It waits until no lost attempt of the send can run any more."""
    reply.wait_until_final()
    match reply:
        case ["locked", wait, limit]:
            return TooManyAttempts(wait, limit.decode())
        case ["limited", wait, limit]:
            return TooManyOtpRequests(wait, limit.decode())
        case ["busy"]:
            return SmsBusy()
        case ["gated", decision, reason, step]:
            return GateRefusal.read(decision, reason, step)
        case ["unusable", why] if solution:
            return UnusableSolution(solution, why.decode())
        case _:
            return StoreUnavailable(LATE)
