"""Any sequence of sends, failures, guesses and passing time ends as the contract says.

The model below is written from the contract, not from the scripts. It keeps whole histories and searches
them; the scripts keep counters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otp_gateway.errors import (
    GatewayError,
    InvalidCode,
    StoreUnavailable,
    TooManyAttempts,
    TooManyOtpRequests,
)
from otp_gateway.model import Caller, Channel, Issued, Login, PhoneNumber, Window
from otp_gateway.store.client import RedisClient
from tests.store.bench import DAY, OTHER_PHONE, PHONE, Bench, settle
from tests.support.searches import examples

# Budgets are small, so short sequences reach them.
LIFE, TRIES, PER_CLIENT, PER_PHONE = 300, 3, 4, 10
WINDOWS = (Window(3, 120), Window(5, 3600), Window(8, DAY))
# The contract's windows of the device lane, and a fifth of the phone's failures.
DEVICE_WINDOWS = (Window(3, 120), Window(5, 3600), Window(10, DAY))
OF_DEVICES = 2
OF_STRANGERS = PER_PHONE - OF_DEVICES
# Every boundary is a multiple of ten seconds. Each step of time is a multiple, too, plus a quarter of a
# second. So sums of less than forty steps keep 2.5 s from all boundaries. The model also counts the seconds
# that the calls of a story take. So it could only miss a boundary within a single call.
STEPS = [10.25, 40.25, 110.25, 140.25, 290.25, 1200.25, 3590.25, 43_200.25, 86_390.25]
MOST_STEPS = 30
TOLERANCE = 2_000

T = TypeVar("T")
phones = st.sampled_from([PHONE, PHONE, PHONE, OTHER_PHONE])
clients = st.sampled_from(["home", "home", "work", "train"])
channels: st.SearchStrategy[Channel] = st.sampled_from(["sms", "sms", "call"])


@dataclass
class Code:
    """A code that was issued, and the code before it, which is active again if all its sends fail."""

    made: float
    before: Code | None
    wrong_before: list[float]


@dataclass
class Send:
    """A send that is charged."""

    at: float
    code: Code
    channel: Channel
    issued: Issued


@dataclass
class Failure:
    """A wrong guess, as the budgets count it."""

    at: float
    client: str
    forgiven: bool = False


Group = tuple[list[Failure], list[Failure], int]


@dataclass
class Lane:
    """All that happened in one lane of a phone."""

    device: bool
    sends: list[Send] = field(default_factory=list)
    code: Code | None = None
    # Wrong guesses since the last new code or login.
    wrong: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    # Guesses while no send was younger than a day. They are forgotten together with the tries.
    worthless: list[Failure] = field(default_factory=list)
    # The times at which a guess was compared with an active code.
    compared: list[float] = field(default_factory=list)
    known: dict[str, Code] = field(default_factory=dict)
    in_flight: list[Send] = field(default_factory=list)
    logins: int = 0

    @property
    def budget(self) -> int:
        return OF_DEVICES if self.device else OF_STRANGERS

    def live(self, now: float) -> Code | None:
        return self.code if self.code and now < self.code.made + LIFE else None

    def tries_used(self, now: float) -> int:
        return len(self.wrong) if self.wrong and now < self.wrong[0] + LIFE else 0

    def was_sent(self, now: float) -> bool:
        return any(send.at > now - DAY for send in self.sends)

    def groups(self, now: float, client: str) -> list[Group]:
        """For the phone and for the client: failures that count, worthless ones that count, the budget."""
        worthless = [] if self.was_sent(now) or not self.tries_used(now) else self.worthless
        own = [f for f in self.failures if f.client == client and not f.forgiven]
        of_phone = (_current_period(self.failures, now), worthless, self.budget)
        of_client = (_current_period(own, now), [f for f in worthless if f.client == client], PER_CLIENT)
        return [of_phone] if self.device else [of_phone, of_client]

    def budget_wait(self, now: float, client: str) -> float:
        """Seconds until neither the client's budget nor the phone's is used up."""
        waits = [0.0]
        for failures, worthless, budget in self.groups(now, client):
            if len(failures) + len(worthless) >= budget:
                waits += [each[0].at + DAY - now for each in (failures, worthless) if each]
        return max(waits)

    def budget_left(self, now: float, client: str) -> int:
        return min(budget - len(one) - len(other) for one, other, budget in self.groups(now, client))

    def window_wait(self, now: float) -> float:
        """Seconds until one more send fits in every window."""
        waits = [0.0]
        for window in DEVICE_WINDOWS if self.device else WINDOWS:
            recent = [s.at for s in self.sends if s.at > now - window.seconds]
            if len(recent) >= window.limit:
                waits.append(recent[-window.limit] + window.seconds - now)
        return max(waits)


@dataclass
class Token:
    """A device token: when it was made, in ms of Redis's clock as it has been moved."""

    made_at: int
    forgotten: bool = False


@dataclass
class Phone:
    """All that happened to one phone."""

    common: Lane = field(default_factory=lambda: Lane(device=False))
    device: Lane = field(default_factory=lambda: Lane(device=True))
    sessions: list[str] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        return self.common, self.device

    def lane_of_send(self, token: Token | None) -> Lane:
        return self.device if token and not token.forgotten else self.common

    def lane_of_guess(self, token: Token | None, now: float) -> Lane:
        lane = self.lane_of_send(token)
        return lane if lane.live(now) else self.common


def answered(call: Callable[[], T]) -> T:
    """The store's answer.

    On a busy machine a call may come too late. Then it has no effect, so it is made again.
    """
    for _ in range(20):
        try:
            return call()
        except StoreUnavailable:
            continue
    return call()


def _current_period(failures: list[Failure], now: float) -> list[Failure]:
    """A period of 24 h begins with its first failure."""
    period: list[Failure] = []
    for failure in failures:
        if not period or failure.at >= period[0].at + DAY:
            period = []
        period.append(failure)
    return period if period and now < period[0].at + DAY else []


class Story(RuleBasedStateMachine):
    """A sequence of events that happen to both the store and the model."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__()
        self.bench = Bench(
            client,
            lifetime=LIFE,
            max_attempts=TRIES,
            windows=WINDOWS,
            max_failures_per_client=PER_CLIENT,
            max_failures_per_phone=PER_PHONE,
        )
        self.bench.run("FLUSHALL")
        self.began = time.monotonic()
        self.moved = 0.0
        self.steps = 0
        # Each user has signed in before.
        first = self.bench.now() - 60_000
        self.phones = {phone: Phone(tokens=[Token(first)]) for phone in (PHONE, OTHER_PHONE)}

    @property
    def now(self) -> float:
        """Redis's clock, plus the time that the story has skipped."""
        return self.moved + time.monotonic() - self.began

    @rule(phone=phones, client=clients, channel=channels, data=st.data())
    def a_user_asks_for_a_code(
        self, phone: PhoneNumber, client: str, channel: Channel, data: st.DataObject
    ) -> None:
        token = self.some_token(phone, data)
        told, now = self.phones[phone].lane_of_send(token), self.now
        locked, limited = told.budget_wait(now, client), told.window_wait(now)
        try:
            issued = answered(
                lambda: self.bench.issue(self.caller(client, token), channel=channel, phone=phone)
            )
        except TooManyAttempts as error:
            assert locked
            self.about(error.retry_after, max(locked, limited))
            return
        except TooManyOtpRequests as error:
            assert not locked
            assert limited
            self.about(error.retry_after, limited)
            return
        assert not locked
        assert not limited
        assert issued.device is told.device
        live = told.live(now)
        if live and live.made + LIFE - now >= LIFE / 2 and told.tries_used(now) < TRIES:
            assert told.known[issued.nonce] is live
            self.about(issued.expires_in, live.made + LIFE - now)
        else:
            assert not any(issued.nonce in lane.known for lane in self.phones[phone].lanes)
            told.code = Code(now, live, told.wrong if told.tries_used(now) else [])
            told.wrong = []
            told.known[issued.nonce] = told.code
            self.about(issued.expires_in, LIFE)
        assert told.code
        told.sends.append(Send(now, told.code, channel, issued))
        told.in_flight.append(told.sends[-1])
        self.about(issued.resend_in, told.window_wait(now))

    @precondition(lambda self: any(lane.in_flight for _, lane in self.all_lanes()))
    @rule(data=st.data())
    def a_send_surely_fails(self, data: st.DataObject) -> None:
        phone, told, send = data.draw(
            st.sampled_from(
                [(phone, lane, send) for phone, lane in self.all_lanes() for send in lane.in_flight]
            )
        )
        answered(lambda: self.bench.withdraw(send.issued, phone=phone))
        told.in_flight.remove(send)
        told.sends.remove(send)
        if any(other.code is send.code for other in told.sends):
            return
        if told.code is send.code:
            told.code, told.wrong = send.code.before, send.code.wrong_before
        # No user has this code, so it must not become active again.
        for code in told.known.values():
            if code.before is send.code:
                code.before, code.wrong_before = send.code.before, send.code.wrong_before

    @rule(phone=phones, client=clients, data=st.data())
    def somebody_guesses_wrong(self, phone: PhoneNumber, client: str, data: st.DataObject) -> None:
        right = {self.bench.codes.derive(phone, nonce) for nonce in self.known(phone)}
        code = next(each for each in map("{:06d}".format, range(10**6)) if each not in right)
        self.guess(phone, client, code, self.some_token(phone, data), of=None)

    @precondition(lambda self: any(lane.known for _, lane in self.all_lanes()))
    @rule(client=clients, data=st.data())
    def a_user_enters_a_code_that_was_sent(self, client: str, data: st.DataObject) -> None:
        phone, lane, nonce = data.draw(
            st.sampled_from(
                [(phone, lane, nonce) for phone, lane in self.all_lanes() for nonce in list(lane.known)[-3:]]
            )
        )
        code = self.bench.codes.derive(phone, nonce)
        self.guess(phone, client, code, self.some_token(phone, data), of=lane.known[nonce])

    @precondition(lambda self: any(told.tokens for told in self.phones.values()))
    @rule(phone=phones)
    def an_operator_forgets_the_devices(self, phone: PhoneNumber) -> None:
        # Tokens that were made in this millisecond are forgotten, and those of the next one are not.
        settle()
        self.bench.run("SET", self.bench.keys(phone).devices_since, self.bench.now(), "PX", 1000 * 400 * DAY)
        settle()
        for token in self.phones[phone].tokens:
            token.forgotten = True

    @precondition(lambda self: self.steps < MOST_STEPS)
    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds)
        self.moved += seconds
        self.steps += 1
        for _, lane in self.all_lanes():
            # A send takes ten seconds at most. After that it was confirmed or can never be.
            lane.in_flight.clear()
        for token in [token for told in self.phones.values() for token in told.tokens]:
            token.made_at -= round(1000 * seconds)

    @invariant()
    def every_key_ends(self) -> None:
        self.bench.snapshot()

    @invariant()
    def the_sessions_are_the_last_ten_logins(self) -> None:
        for phone, told in self.phones.items():
            alive = self.bench.run("ZRANGE", self.bench.keys(phone).sessions, 0, -1)
            assert {each.decode() for each in alive} == set(told.sessions[-10:])

    def all_lanes(self) -> list[tuple[PhoneNumber, Lane]]:
        return [(phone, lane) for phone, told in self.phones.items() for lane in told.lanes]

    def known(self, phone: PhoneNumber) -> list[str]:
        return [nonce for lane in self.phones[phone].lanes for nonce in lane.known]

    def some_token(self, phone: PhoneNumber, data: st.DataObject) -> Token | None:
        """One of the phone's tokens, or no token."""
        tokens = self.phones[phone].tokens[-3:]
        return data.draw(st.sampled_from([None, *tokens]))

    def caller(self, client: str, token: Token | None) -> Caller:
        return self.bench.caller(client, made_at=token.made_at if token else None)

    def guess(
        self, phone: PhoneNumber, client: str, code: str, token: Token | None, *, of: Code | None
    ) -> None:
        """Guess these digits. ``of``: the code that has them, if any was sent."""
        told, now = self.phones[phone].lane_of_guess(token, self.now), self.now
        right = of is not None and told.live(now) is of
        used = told.tries_used(now)
        wait = told.budget_wait(now, client)
        if used >= TRIES:
            wait = max(wait, told.wrong[0] + LIFE - now)
        outcome: Login | GatewayError
        try:
            outcome = answered(lambda: self.bench.logins.verify(phone, code, self.caller(client, token)))
        except GatewayError as error:
            outcome = error
        if told.live(now) and not isinstance(outcome, TooManyAttempts):
            self.compare(told, client)
            self.at_most_the_budget_is_compared(phone)
        if wait:
            assert isinstance(outcome, TooManyAttempts)
            self.about(outcome.retry_after, wait)
        elif right:
            assert isinstance(outcome, Login)
            assert outcome.device is told.device
            self.log_in(phone, told, client, outcome)
        else:
            assert isinstance(outcome, InvalidCode)
            if not used:
                told.worthless = []
            told.wrong = [*told.wrong, now] if used else [now]
            (told.failures if told.was_sent(now) else told.worthless).append(Failure(now, client))
            left = min(TRIES - len(told.wrong), told.budget_left(now, client))
            assert outcome.attempts_remaining == left

    def log_in(self, phone: PhoneNumber, told: Lane, client: str, login: Login) -> None:
        assert told.code
        assert login.session.channel == [s.channel for s in told.sends if s.code is told.code][-1]
        told.code, told.wrong, told.worthless = None, [], []
        told.logins += 1
        self.phones[phone].sessions.append(login.session.id)
        self.phones[phone].tokens.append(Token(login.at_ms))
        for failure in told.failures:
            failure.forgiven |= failure.client == client

    def compare(self, told: Lane, client: str) -> None:
        """Record that a guess was compared with an active code, so the budgets were not used up."""
        own = [f for f in told.failures if f.client == client and not f.forgiven]
        assert len(_current_period(told.failures, self.now)) < told.budget
        assert told.device or len(_current_period(own, self.now)) < PER_CLIENT
        told.compared.append(self.now)

    def at_most_the_budget_is_compared(self, phone: PhoneNumber) -> None:
        """Both lanes together compare no more wrong codes than the phone's budget allows."""
        compared = []
        for lane in self.phones[phone].lanes:
            compared.append(sum(at > self.now - DAY for at in lane.compared))
            # The budget's period is fixed, so any 24 h may touch two of them.
            assert compared[-1] <= 2 * lane.budget + lane.logins
        assert sum(compared) <= 2 * PER_PHONE + len(self.phones[phone].sessions)

    @staticmethod
    def about(milliseconds: int, seconds: float) -> None:
        assert milliseconds == pytest.approx(1000 * seconds, abs=TOLERANCE)


@pytest.mark.search
def test_any_story_ends_as_the_contract_says(redis_client: RedisClient) -> None:
    class ThisStory(Story):
        def __init__(self) -> None:
            super().__init__(redis_client)

    run_state_machine_as_test(
        ThisStory,
        settings=settings(
            max_examples=examples(100),
            stateful_step_count=35,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
