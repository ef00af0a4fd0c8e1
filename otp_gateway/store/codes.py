"""Codes of phones: issue, verify and withdraw. Times in milliseconds of Redis's clock."""

from __future__ import annotations

from otp_gateway.codes import Codes, random_id, session_id
from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyAttempts, TooManyOtpRequests
from otp_gateway.model import Caller, Challenge, Channel, Issued, PhoneNumber, Policy, Session
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, deadline, flat, wait_until

# Milliseconds for which a verify's answer is kept for a repeated attempt: some times the timeout.
REPLAY_MS = 10_000


class CodeStore:
    """Codes, tries, windows and failure budgets of phones.

    Every method is one round trip and raises ``StoreUnavailable`` if Redis does not answer in time; what
    such a call requested does not happen afterwards. A refusal is answered when no lost attempt of the call
    can run any more: what was refused does not happen either.
    """

    def __init__(self, scripts: Scripts, codes: Codes, policy: Policy) -> None:
        self._scripts = scripts
        self._codes = codes
        self._policy = policy
        # A send is remembered for every window, and for as long as its code may be valid.
        self._horizon = 1000 * max(policy.lifetime, *(w.seconds for w in policy.windows))

    def issue(self, phone: PhoneNumber, channel: Channel, caller: Caller, proposal: Challenge) -> Issued:
        """Charge one send; the nonce in the result is the proposal's, or that of a code that is repeated.

        Raises ``TooManyAttempts`` (a failure budget is used up), ``TooManyOtpRequests`` (a window is full).
        """
        name, policy = self._keys(phone), self._policy
        send_id = random_id()
        reply = self._scripts.run(
            "issue",
            [name.code, name.tries, name.sends],
            [
                deadline(caller.clock),
                send_id,
                proposal.nonce,
                proposal.digest,
                phone.masked,
                channel,
                1000 * policy.lifetime,
                policy.max_attempts,
                policy.max_failures_per_client,
                policy.max_failures_per_phone,
                self._horizon,
                1000 * policy.failure_period,
                caller.client,
                *flat(policy.windows),
            ],
            CALL_TIMEOUT,
        )
        match reply:
            case ["issued", left, wait, nonce]:
                return Issued(send_id, nonce.decode(), left, wait, reply.settled_at)
            case ["locked", wait, limit]:
                reply.settle()
                raise TooManyAttempts(wait, limit.decode())
            case ["limited", wait]:
                reply.settle()
                raise TooManyOtpRequests(wait)
            case _:
                raise StoreUnavailable(LATE)

    def withdraw(self, phone: PhoneNumber, issued: Issued, caller: Caller) -> None:
        """Take a send back that definitely sent nothing: Redis is then as it was before it."""
        # A lost attempt of the send that ran after the withdrawal would charge it again.
        wait_until(issued.settled_at)
        name, policy = self._keys(phone), self._policy
        tag, *_ = self._scripts.run(
            "withdraw",
            [name.code, name.tries, name.sends],
            [deadline(caller.clock), issued.send_id, max(self._horizon, 1000 * policy.failure_period)],
            CALL_TIMEOUT,
        )
        if tag != "withdrawn":
            raise StoreUnavailable(LATE)

    def verify(self, phone: PhoneNumber, code: str, caller: Caller) -> Session:
        """Compare a guess; a right one uses the code and opens a session.

        Raises ``InvalidCode`` (wrong, or no code is active), ``TooManyAttempts``.
        """
        name, policy = self._keys(phone), self._policy
        call_id, refresh, access = (random_id() for _ in range(3))
        session = session_id(self._codes)
        reply = self._scripts.run(
            "verify",
            [
                name.code,
                name.tries,
                name.sends,
                name.call(call_id),
                name.session(session),
                name.sessions,
            ],
            [
                deadline(caller.clock),
                caller.client,
                self._codes.digest(phone, code),
                1000 * policy.lifetime,
                policy.max_attempts,
                policy.max_failures_per_client,
                policy.max_failures_per_phone,
                1000 * policy.failure_period,
                session,
                refresh,
                1000 * policy.session_lifetime,
                policy.max_sessions,
                REPLAY_MS,
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
            case _:
                raise StoreUnavailable(LATE)

    def _keys(self, phone: PhoneNumber) -> PhoneKeys:
        return PhoneKeys(self._codes.pid(phone))
