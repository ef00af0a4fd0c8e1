"""The whole program: send a code, verify a code, keep and end a session."""

from __future__ import annotations

import time
from contextlib import suppress

from otp_gateway.abuse.challenge import Challenges
from otp_gateway.codes import Codes
from otp_gateway.errors import (
    SKIPPED,
    GatewayError,
    InvalidChallenge,
    InvalidToken,
    SendFailed,
    SmsBusy,
    SmsFailed,
    SmsNotConfigured,
    StoreUnavailable,
)
from otp_gateway.event_reporter import EventReporter
from otp_gateway.model import Caller, Issued, PhoneNumber, ProposedCode, SendRequest, Sent, Solution
from otp_gateway.senders import Sender
from otp_gateway.senders.breaker import Attempt, Breaker
from otp_gateway.senders.slots import SendSlots
from otp_gateway.store.codes import CodeStore, UnusableSolution
from otp_gateway.store.scripts import LATE
from otp_gateway.store.sessions import SessionStore
from otp_gateway.store.write_probe import WriteProbe
from otp_gateway.tokens import TokenPair, Tokens, User


class OtpService:
    """Phone login by one-time code."""

    def __init__(
        self,
        *,
        store: CodeStore,
        sessions: SessionStore,
        probe: WriteProbe,
        sender: Sender,
        slots: SendSlots,
        breaker: Breaker,
        codes: Codes,
        tokens: Tokens,
        challenges: Challenges,
        events: EventReporter,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._probe = probe
        self._sender = sender
        self._slots = slots
        self._breaker = breaker
        self._codes = codes
        self._tokens = tokens
        self._challenges = challenges
        self._events = events

    def request(self, send: SendRequest, caller: Caller) -> Sent:
        """Send the phone a code: the active one again while it is young, a new one otherwise.

        Raises ``TooManyAttempts``, ``TooManyOtpRequests``, ``InvalidChallenge``, ``SmsNotConfigured``,
        ``SmsBusy`` (nothing is charged), ``SmsFailed`` (Redis is then as it was before), ``SmsUnconfirmed``
        (the code is active, the send is charged) and ``StoreUnavailable``.
        """
        with self._events.refusals(send, caller):
            return self._request(send, caller)

    def _request(self, send: SendRequest, caller: Caller) -> Sent:
        if not self._sender.configured:
            raise SmsNotConfigured
        proposal = self._codes.propose(send.phone)
        try:
            solution = self._solution(send, caller)
            with self._slots.take(), self._breaker.attempt() as attempt:
                issued = self._issue(send, caller, proposal, solution)
                if isinstance(issued, Sent):
                    return issued
                return self._send(send, caller, issued, attempt)
        except (InvalidChallenge, SmsBusy, SmsFailed) as error:
            tried = isinstance(error, SmsFailed) and error.reason != SKIPPED
            if tried or caller.idempotency_key is None:
                raise
            # A repeated request gets the outcome of the first one, without a thread and without a solution.
            earlier = self._first_outcome(send, caller, proposal)
            if earlier is None:
                raise
            return earlier

    def _solution(self, send: SendRequest, caller: Caller) -> Solution | None:
        if send.challenge is None:
            return None
        return self._challenges.check(send.challenge, self._codes.pid(send.phone), caller.clock.now_ms())

    def _issue(
        self, send: SendRequest, caller: Caller, proposal: ProposedCode, solution: Solution | None
    ) -> Issued | Sent:
        try:
            return self._store.issue(send, caller, proposal, solution=solution)
        except UnusableSolution as error:
            pid, now = self._codes.pid(send.phone), caller.clock.now_ms()
            raise self._challenges.unusable(error.solution, pid, now, error.reason) from None

    def _first_outcome(self, send: SendRequest, caller: Caller, proposal: ProposedCode) -> Sent | None:
        """The outcome of the first request with this idempotency key; None if there was none."""
        try:
            earlier = self._store.issue(send, caller, proposal, only_earlier=True)
        except StoreUnavailable as error:
            if error.reason != LATE:
                raise
            return None
        return earlier if isinstance(earlier, Sent) else None

    def _send(self, send: SendRequest, caller: Caller, issued: Issued, attempt: Attempt) -> Sent:
        issued_at, phone = time.monotonic(), send.phone
        code = self._codes.derive(phone, issued.nonce)
        try:
            with attempt.call():
                receipt = self._sender.send(phone, code, send.channel, self._codes.reference(issued.send_id))
        except SendFailed as error:
            self._events.failed(send, caller, issued, error)
            if error.definite:
                # If Redis is unavailable too, the charge stays; the answer is still that nothing was sent.
                with suppress(StoreUnavailable):
                    self._store.withdraw(phone, issued, caller)
            else:
                self._keep_outcome(phone, issued, sent=False)
            raise
        self._events.sent(send, caller, issued, receipt)
        self._keep_outcome(phone, issued, sent=True)
        spent = int((time.monotonic() - issued_at) * 1000)
        return Sent(max(0, issued.expires_in - spent), max(0, issued.resend_in - spent))

    def _keep_outcome(self, phone: PhoneNumber, issued: Issued, *, sent: bool) -> None:
        if issued.fingerprint:
            # If Redis is unavailable, a repeated request learns that the message may have been sent.
            with suppress(StoreUnavailable):
                self._store.finish(phone, issued, sent=sent)

    def verify(self, phone: PhoneNumber, code: str, caller: Caller) -> TokenPair:
        """Exchange a code for tokens. ``code`` is ``OTP_LENGTH`` ASCII digits.

        Raises ``InvalidCode``, ``TooManyAttempts`` and ``StoreUnavailable``.
        """
        with self._events.stuck(phone, caller):
            session = self._store.verify(phone, code, caller)
        self._events.login(phone, caller, session)
        return self._tokens.issue(phone, session)

    def refresh(self, refresh_token: str, caller: Caller) -> TokenPair:
        """Exchange a refresh token for a new pair; the presented one is spent.

        Spent less than 10 s ago, it yields the same new pair again; earlier, it ends its session. Raises
        ``InvalidToken`` and ``StoreUnavailable``.
        """
        claims = self._tokens.read_refresh(refresh_token, caller.clock.now_ms() / 1000)
        session = self._sessions.rotate(claims.phone, claims.session_id, claims.refresh_id, caller)
        return self._tokens.issue(claims.phone, session)

    def revoke(self, refresh_token: str, caller: Caller) -> None:
        """End the token's session; a token that has none is fine. Raises ``StoreUnavailable``."""
        try:
            claims = self._tokens.read_refresh(refresh_token, caller.clock.now_ms() / 1000)
        except InvalidToken:
            return
        self._sessions.revoke(claims.phone, claims.session_id, caller)

    def user(self, access_token: str) -> User:
        """Whom an access token speaks of, by signature and claims alone. Raises ``InvalidToken``."""
        return self._tokens.read_access(access_token, time.time())

    def readiness(self) -> dict[str, GatewayError | None]:
        """The parts that a login needs, and what is wrong with each."""
        sms = None if self._sender.configured else SmsNotConfigured()
        return {"redis": self._probe.fault(), "sms": sms}
