"""Codes of phones: issue, verify and withdraw. Times in milliseconds of Redis's clock."""

from __future__ import annotations

from dataclasses import replace

from otp_gateway.codes import Codes, random_id, session_id
from otp_gateway.errors import (
    IdempotencyKeyReused,
    InvalidCode,
    RequestInProgress,
    SmsUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    TooManyOtpRequests,
)
from otp_gateway.model import (
    Caller,
    Channel,
    Issued,
    PhoneNumber,
    Policy,
    ProposedCode,
    SendRequest,
    Sent,
    Session,
    Solution,
)
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Reply, Scripts, deadline, flat, wait_until

# Milliseconds for which a verify's answer is kept for a repeated attempt: some times the timeout.
REPLAY_MS = 10_000
# The same with an idempotency key, for a request that the client repeats.
KEYED_MS = 60_000


class UnusableSolution(Exception):
    """The solution is right, but ``used`` by an earlier send, or ``expired`` since its check."""

    def __init__(self, solution: Solution, reason: str) -> None:
        super().__init__(reason)
        self.solution = solution
        self.reason = reason


class CodeStore:
    """Codes, tries, windows and failure budgets of phones.

    Every method is one round trip and raises ``StoreUnavailable`` if Redis does not answer in time; what
    such a call requested does not happen afterwards. A refusal is answered when no lost attempt of the call
    can run any more: what was refused does not happen either.
    """

    def __init__(self, scripts: Scripts, codes: Codes, policy: Policy, send_timeout: float = 10.0) -> None:
        """``send_timeout``: seconds after which no send is still in progress."""
        self._scripts = scripts
        self._codes = codes
        self._policy = policy
        self._send_ms = int(1000 * send_timeout)
        # A send is remembered for every window, and for as long as its code may be valid.
        self._horizon = 1000 * max(policy.lifetime, *(w.seconds for w in policy.windows))

    def issue(
        self,
        send: SendRequest,
        caller: Caller,
        proposal: ProposedCode,
        *,
        solution: Solution | None = None,
        only_earlier: bool = False,
    ) -> Issued | Sent:
        """Charge one send; the nonce in the result is the proposal's, or that of a code that is repeated.

        With an idempotency key that an earlier request has used, ``Sent`` is the outcome of that request.
        ``solution``: the checked solution of a challenge, which this send uses up. ``only_earlier``: look for
        that outcome, and charge nothing.

        Raises ``TooManyAttempts`` (a failure budget is used up), ``TooManyOtpRequests`` (a window is full),
        ``UnusableSolution``, and for an earlier request ``SmsUnconfirmed``, ``RequestInProgress`` and
        ``IdempotencyKeyReused``.
        """
        name, key = self._keys(send.phone), caller.idempotency_key
        send_id = random_id()
        call_id = self._codes.call_id("send", send.phone, key)
        solution_id = solution.id if solution else ""
        fingerprint = self._codes.fingerprint(key, send.channel, ascii(send.challenge))
        reply = self._scripts.run(
            "issue",
            [name.code, name.tries, name.sends, name.call(call_id), name.challenge(solution_id)],
            [
                0 if only_earlier else deadline(caller.clock),
                send_id,
                proposal.nonce,
                proposal.digest,
                send.phone.masked,
                send.channel,
                *self._send_limits(caller.client),
                fingerprint,
                max(KEYED_MS, self._send_ms + REPLAY_MS),
                self._send_ms,
                solution.expires_at_ms if solution else "",
                *flat(self._policy.windows),
            ],
            CALL_TIMEOUT,
        )
        issued = _issued(reply, solution)
        if isinstance(issued, Sent):
            return issued
        return replace(
            issued, send_id=send_id, call_id=call_id, fingerprint=fingerprint, solution_id=solution_id
        )

    def _send_limits(self, client: str) -> list[str | int]:
        policy = self._policy
        return [
            1000 * policy.lifetime,
            policy.max_attempts,
            policy.max_failures_per_client,
            policy.max_failures_per_phone,
            self._horizon,
            1000 * policy.failure_period,
            client,
        ]

    def finish(self, phone: PhoneNumber, issued: Issued, *, sent: bool) -> None:
        """Keep the outcome of a send with an idempotency key, for the client's repeated request."""
        mark = issued.fingerprint
        self._scripts.run(
            "finish",
            [self._keys(phone).call(issued.call_id)],
            [
                f"{mark} sending:{issued.send_id}:",
                f"{mark} sent:{issued.nonce}" if sent else f"{mark} unconfirmed",
            ],
            CALL_TIMEOUT,
        )

    def withdraw(self, phone: PhoneNumber, issued: Issued, caller: Caller) -> None:
        """Take a send back that definitely sent nothing: Redis is then as it was before it."""
        # A lost attempt of the send that ran after the withdrawal would charge it again.
        wait_until(issued.settled_at)
        name, policy = self._keys(phone), self._policy
        tag, *_ = self._scripts.run(
            "withdraw",
            [
                *(name.code, name.tries, name.sends),
                *(name.call(issued.call_id), name.challenge(issued.solution_id)),
            ],
            [deadline(caller.clock), issued.send_id, max(self._horizon, 1000 * policy.failure_period)],
            CALL_TIMEOUT,
        )
        if tag != "withdrawn":
            raise StoreUnavailable(LATE)

    def verify(self, phone: PhoneNumber, code: str, caller: Caller) -> Session:
        """Compare a guess; a right one uses the code and opens a session.

        Raises ``InvalidCode`` (wrong, or no code is active), ``TooManyAttempts``, ``IdempotencyKeyReused``.
        """
        name, policy, key = self._keys(phone), self._policy, caller.idempotency_key
        digest = self._codes.digest(phone, code)
        call_id = self._codes.call_id("verify", phone, key)
        session = session_id(self._codes, call_id)
        refresh, access = (self._codes.id_from(call_id, use) for use in ("refresh", "access"))
        reply = self._scripts.run(
            "verify",
            [
                *(name.code, name.tries, name.sends, name.call(call_id)),
                *(name.session(session), name.sessions),
            ],
            [
                deadline(caller.clock),
                caller.client,
                digest,
                1000 * policy.lifetime,
                policy.max_attempts,
                policy.max_failures_per_client,
                policy.max_failures_per_phone,
                1000 * policy.failure_period,
                session,
                refresh,
                1000 * policy.session_lifetime,
                policy.max_sessions,
                KEYED_MS if key else REPLAY_MS,
                self._codes.fingerprint(key, digest),
            ],
            CALL_TIMEOUT,
        )
        match reply:
            case ["verified", now, call]:
                seconds = now // 1000
                channel: Channel = "call" if call else "sms"
                return Session(session, refresh, access, seconds, seconds, channel)
            case ["wrong", left]:
                raise InvalidCode(left)
            case ["locked", wait, limit]:
                reply.settle()
                raise TooManyAttempts(wait, limit.decode())
            case ["reused"]:
                raise IdempotencyKeyReused
            case _:
                raise StoreUnavailable(LATE)

    def _keys(self, phone: PhoneNumber) -> PhoneKeys:
        return PhoneKeys(self._codes.pid(phone))


def _issued(reply: Reply, solution: Solution | None) -> Issued | Sent:
    """What issue.lua has decided; the ids of the call are the caller's to add."""
    match reply:
        case ["issued", left, wait, nonce]:
            return Issued("", nonce.decode(), left, wait, reply.settled_at)
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
        case ["limited", wait]:
            reply.settle()
            raise TooManyOtpRequests(wait)
        case ["unusable", why] if solution:
            reply.settle()
            raise UnusableSolution(solution, why.decode())
        case _:
            raise StoreUnavailable(LATE)
