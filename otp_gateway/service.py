"""The whole program: sends a code, verifies a code, refreshes a session, revokes a session."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from otp_gateway.abuse.challenge import Challenges
from otp_gateway.abuse.devices import Devices
from otp_gateway.abuse.gate import SendGate
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
from otp_gateway.events import TEST_NUMBERS
from otp_gateway.messages import FixedCodes, Message, Receipt
from otp_gateway.model import Caller, Issued, PhoneNumber, ProposedCode, SendRequest, Sent, Solution
from otp_gateway.senders.failover import Delivery, Failover
from otp_gateway.senders.slots import SendSlots
from otp_gateway.store.codes import CodeStore
from otp_gateway.store.gate import GateRefusal
from otp_gateway.store.issue_reply import UnusableSolution
from otp_gateway.store.logins import LoginStore
from otp_gateway.store.scripts import LATE
from otp_gateway.store.sessions import SessionStore
from otp_gateway.store.write_probe import WriteProbe
from otp_gateway.tokens import TokenPair, Tokens, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The state of phones in Redis."""

    codes: CodeStore
    logins: LoginStore
    sessions: SessionStore


class OtpService:
    """Phone login by one-time code."""

    def __init__(
        self,
        *,
        stores: Stores,
        probe: WriteProbe,
        backends: Failover,
        slots: SendSlots,
        codes: Codes,
        tokens: Tokens,
        challenges: Challenges,
        events: EventReporter,
        devices: Devices,
        fixed_codes: FixedCodes,
        gate: SendGate,
    ) -> None:
        self._store = stores.codes
        self._logins = stores.logins
        self._sessions = stores.sessions
        self._probe = probe
        self._backends = backends
        self._slots = slots
        self._codes = codes
        self._tokens = tokens
        self._challenges = challenges
        self._events = events
        self._devices = devices
        self._fixed_codes = fixed_codes
        self._gate = gate

    def request(self, send: SendRequest, caller: Caller) -> Sent:
        """Send a code to the phone: the active code again if it is young, otherwise a new one.

        Raises ``TooManyAttempts``, ``TooManyOtpRequests``, ``InvalidChallenge``, ``ChallengeRequired``,
        ``SendingPaused``, ``SmsNotConfigured``, ``SmsBusy`` (nothing is charged), ``SmsFailed`` (Redis is
        then as it was before), ``SmsUnconfirmed`` (the code is active, the send is charged) and
        ``StoreUnavailable``.
        """
        with self._events.refusals(send, caller):
            return self._request(send, caller)

    def _request(self, send: SendRequest, caller: Caller) -> Sent:
        fixed = self._fixed_codes.code_of(send.phone, caller.clock.now_ms())
        if fixed is not None:
            return self._request_fixed(send, caller, fixed)
        if not self._backends.configured:
            raise SmsNotConfigured
        caller = self._recognise(caller, send.phone, send.device_token)
        device = caller.device_made_at is not None
        proposal = self._codes.propose(send.phone)
        try:
            solution = self._solution(send, caller)
            with self._slots.take(device=device) as reserved, self._backends.delivery() as delivery:
                issued = self._issue(send, caller, proposal, solution, only_device=reserved)
                if isinstance(issued, Sent):
                    return issued
                self._gate.decided(issued.gate, issued.budget_reached)
                return self._send(send, caller, issued, delivery)
        except (InvalidChallenge, SmsBusy, SmsFailed) as error:
            tried = isinstance(error, SmsFailed) and error.reason != SKIPPED
            if tried or caller.idempotency_key is None:
                raise
            # A repeated request gets the outcome of the first one, without a thread and without a solution.
            earlier = self._first_outcome(send, caller, proposal)
            if earlier is None:
                raise
            return earlier

    def _request_fixed(self, send: SendRequest, caller: Caller, code: str) -> Sent:
        """Make the fixed code of a test number active. All limits apply, and no message is sent."""
        solution, send = self._solution(send, caller), replace(send, channel="test")
        proposal = self._codes.propose_fixed(send.phone, code)
        issued = self._issue(send, caller, proposal, solution, only_device=False)
        if isinstance(issued, Sent):
            return issued
        self._events.sent(send, caller, issued, Receipt(TEST_NUMBERS, attempts=0))
        self._keep_outcome(send.phone, issued, sent=True)
        return Sent(issued.expires_in, issued.resend_in, TEST_NUMBERS)

    def _solution(self, send: SendRequest, caller: Caller) -> Solution | None:
        if send.challenge is None:
            return None
        return self._challenges.check(send.challenge, self._codes.pid(send.phone), caller.clock.now_ms())

    def _recognise(self, caller: Caller, phone: PhoneNumber, device_token: str | None) -> Caller:
        """The caller, as a device of the phone if the token is good. Any other token is ignored."""
        made_at = self._devices.made_at(device_token, phone, caller.clock.now_ms())
        return caller if made_at is None else replace(caller, device_made_at=made_at)

    def _issue(
        self,
        send: SendRequest,
        caller: Caller,
        proposal: ProposedCode,
        solution: Solution | None,
        *,
        only_device: bool,
    ) -> Issued | Sent:
        try:
            return self._store.issue(send, caller, proposal, solution=solution, only_device=only_device)
        except UnusableSolution as error:
            pid, now = self._codes.pid(send.phone), caller.clock.now_ms()
            raise self._challenges.unusable(error.solution, pid, now, error.reason) from None
        except GateRefusal as error:
            pid, now = self._codes.pid(send.phone), caller.clock.now_ms()
            raise self._gate.refusal(pid, error.decision, error.reason, error.step, now) from None

    def _first_outcome(self, send: SendRequest, caller: Caller, proposal: ProposedCode) -> Sent | None:
        """The outcome of the first request with this idempotency key; None if there was none."""
        try:
            earlier = self._store.issue(send, caller, proposal, only_earlier=True)
        except StoreUnavailable as error:
            if error.reason != LATE:
                raise
            return None
        return earlier if isinstance(earlier, Sent) else None

    def _send(self, send: SendRequest, caller: Caller, issued: Issued, delivery: Delivery) -> Sent:
        issued_at, phone = time.monotonic(), send.phone
        message = Message(
            phone,
            self._codes.derive(phone, issued.nonce),
            send.channel,
            self._codes.reference(issued.send_id),
            send.language or send.accepted_language,
            send.android,
        )
        try:
            receipt = delivery.send(message)
        except SendFailed as error:
            self._events.failed(send, caller, issued, error)
            error.gate = issued.gate
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
        left = (max(0, issued.expires_in - spent), max(0, issued.resend_in - spent))
        return Sent(*left, backend=receipt.backend, gate=issued.gate)

    def _keep_outcome(self, phone: PhoneNumber, issued: Issued, *, sent: bool) -> None:
        if issued.fingerprint:
            # If Redis is unavailable, a repeated request learns that the message may have been sent.
            with suppress(StoreUnavailable):
                self._store.finish(phone, issued, sent=sent)

    def verify(
        self, phone: PhoneNumber, code: str, caller: Caller, device_token: str | None = None
    ) -> TokenPair:
        """Exchange a code for tokens, with a new device token. ``code`` is ``OTP_LENGTH`` ASCII digits.

        ``device_token``: as in ``SendRequest``. Raises ``InvalidCode``, ``TooManyAttempts`` and
        ``StoreUnavailable``.
        """
        caller = self._recognise(caller, phone, device_token)
        with self._events.stuck(phone, caller):
            login = self._logins.verify(phone, code, caller)
        pair = self._tokens.issue(phone, login.session)
        if pair.test:
            return pair
        self._events.login(phone, caller, login)
        return replace(pair, device_token=self._devices.create(phone, login.session.id, login.at_ms))

    def refresh(self, refresh_token: str, caller: Caller) -> TokenPair:
        """Exchange a refresh token for a new pair. The presented token then counts as used.

        If the token was used less than 10 s ago, it gets the same pair again. If it was used earlier, its
        session ends. Raises ``InvalidToken`` and ``StoreUnavailable``.
        """
        claims = self._tokens.read_refresh(refresh_token, caller.clock.now_ms() / 1000)
        session = self._sessions.rotate(claims.phone, claims.session_id, claims.refresh_id, caller)
        return self._tokens.issue(claims.phone, session)

    def revoke(self, refresh_token: str, caller: Caller) -> None:
        """End the token's session. A token without a session is accepted too. Raises ``StoreUnavailable``."""
        try:
            claims = self._tokens.read_refresh(refresh_token, caller.clock.now_ms() / 1000)
        except InvalidToken:
            return
        self._sessions.revoke(claims.phone, claims.session_id, caller)

    def user(self, access_token: str) -> User:
        """The user of an access token. Only signature and claims are checked. Raises ``InvalidToken``."""
        return self._tokens.read_access(access_token, time.time())

    def readiness(self) -> dict[str, GatewayError | None]:
        """The parts that a login needs, each with its error, or None if it is ready."""
        sms = None if self._backends.configured else SmsNotConfigured()
        return {"redis": self._probe.fault(), "sms": sms}
