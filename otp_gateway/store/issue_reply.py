"""What issue.lua replies, as results and errors."""

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
from otp_gateway.store.scripts import LATE, Reply


class UnusableSolution(Exception):
    """The solution is right, but ``used`` by an earlier send, or ``expired`` since its check."""

    def __init__(self, solution: Solution, reason: str) -> None:
        super().__init__(reason)
        self.solution = solution
        self.reason = reason


def read_issue_reply(reply: Reply, solution: Solution | None) -> Issued | Sent:
    """What issue.lua has decided; the ids of the call are the caller's to add."""
    match reply:
        case ["issued", left, wait, device, nonce]:
            return Issued("", nonce.decode(), left, wait, bool(device), reply.settled_at)
        case ["sent", left, wait]:
            return Sent(left, wait)
        case ["unconfirmed"]:
            raise SmsUnconfirmed("earlier", fault="temporary")
        case ["in_progress"]:
            raise RequestInProgress
        case ["reused"]:
            raise IdempotencyKeyReused
        case ["locked", wait, limit]:
            reply.settle()
            raise TooManyAttempts(wait, limit.decode())
        case ["limited", wait, limit]:
            reply.settle()
            raise TooManyOtpRequests(wait, limit.decode())
        case ["busy"]:
            reply.settle()
            raise SmsBusy
        case ["unusable", why] if solution:
            reply.settle()
            raise UnusableSolution(solution, why.decode())
        case _:
            raise StoreUnavailable(LATE)
