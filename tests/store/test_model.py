"""Any story of sends, failures, guesses and passing time ends as the contract says.

The model below is written from the contract, not from the scripts: it keeps whole histories and looks
through them, where the scripts keep counters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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

from otp_gateway.errors import GatewayError, InvalidCode, TooManyAttempts, TooManyOtpRequests
from otp_gateway.model import Channel, Issued, PhoneNumber, Session, Window
from otp_gateway.store.client import RedisClient
from tests.store.bench import DAY, OTHER_PHONE, PHONE, Bench

# Small budgets, so that short stories reach them.
LIFE, TRIES, PER_CLIENT, PER_PHONE = 300, 3, 4, 7
WINDOWS = (Window(3, 120), Window(5, 3600), Window(8, DAY))
# Every boundary is a multiple of ten seconds. Each step of time is that and a quarter second more, so sums of
# less than forty steps stay clear of all boundaries, by more than a slow machine takes for a story.
STEPS = [10.25, 40.25, 110.25, 140.25, 290.25, 1200.25, 3590.25, 43_200.25, 86_390.25]
MOST_STEPS = 30
TOLERANCE = 2_000

phones = st.sampled_from([PHONE, PHONE, PHONE, OTHER_PHONE])
clients = st.sampled_from(["home", "home", "work", "train"])
channels: st.SearchStrategy[Channel] = st.sampled_from(["sms", "sms", "call"])


@dataclass
class Code:
    """A code that came into being: what stood before it, in case its sends all fail."""

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
    """A wrong guess as the budgets see it."""

    at: float
    client: str
    forgiven: bool = False


Group = tuple[list[Failure], list[Failure], int]


@dataclass
class Phone:
    """All that happened to one phone."""

    sends: list[Send] = field(default_factory=list)
    code: Code | None = None
    # Wrong guesses since the last new code or login.
    wrong: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    # Guesses while no send was younger than a day: they are forgotten together with the tries.
    worthless: list[Failure] = field(default_factory=list)
    # When a guess was compared with an active code.
    compared: list[float] = field(default_factory=list)
    known: dict[str, Code] = field(default_factory=dict)
    in_flight: list[Send] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)

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
        return [
            (_current_period(self.failures, now), worthless, PER_PHONE),
            (_current_period(own, now), [f for f in worthless if f.client == client], PER_CLIENT),
        ]

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
        for window in WINDOWS:
            recent = [s.at for s in self.sends if s.at > now - window.seconds]
            if len(recent) >= window.limit:
                waits.append(recent[-window.limit] + window.seconds - now)
        return max(waits)


def _current_period(failures: list[Failure], now: float) -> list[Failure]:
    """A period of 24 h begins with its first failure."""
    period: list[Failure] = []
    for failure in failures:
        if not period or failure.at >= period[0].at + DAY:
            period = []
        period.append(failure)
    return period if period and now < period[0].at + DAY else []


class Story(RuleBasedStateMachine):
    """The store and the model live through the same."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__()
        self.bench = Bench(
            client,
            lifetime=LIFE,
            max_attempts=TRIES,
            windows=WINDOWS,
            max_failures_per_client=PER_CLIENT,
            max_failures_per_phone=PER_PHONE,
            device_lifetime=0,
        )
        self.bench.run("FLUSHALL")
        self.now = 0.0
        self.steps = 0
        self.phones = {PHONE: Phone(), OTHER_PHONE: Phone()}

    @rule(phone=phones, client=clients, channel=channels)
    def a_user_asks_for_a_code(self, phone: PhoneNumber, client: str, channel: Channel) -> None:
        told, now = self.phones[phone], self.now
        locked, limited = told.budget_wait(now, client), told.window_wait(now)
        try:
            issued = self.bench.issue(client, channel=channel, phone=phone)
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
        live = told.live(now)
        if live and live.made + LIFE - now >= LIFE / 2 and told.tries_used(now) < TRIES:
            assert told.known[issued.nonce] is live
            self.about(issued.expires_in, live.made + LIFE - now)
        else:
            assert issued.nonce not in told.known
            told.code = Code(now, live, told.wrong if told.tries_used(now) else [])
            told.wrong = []
            told.known[issued.nonce] = told.code
            self.about(issued.expires_in, LIFE)
        assert told.code
        told.sends.append(Send(now, told.code, channel, issued))
        told.in_flight.append(told.sends[-1])
        self.about(issued.resend_in, told.window_wait(now))

    @precondition(lambda self: any(told.in_flight for told in self.phones.values()))
    @rule(data=st.data())
    def a_send_surely_fails(self, data: st.DataObject) -> None:
        phone, send = data.draw(
            st.sampled_from([(phone, send) for phone, told in self.phones.items() for send in told.in_flight])
        )
        told = self.phones[phone]
        self.bench.withdraw(send.issued, phone=phone)
        told.in_flight.remove(send)
        told.sends.remove(send)
        if any(other.code is send.code for other in told.sends):
            return
        if told.code is send.code:
            told.code, told.wrong = send.code.before, send.code.wrong_before
        # Nobody has this code, so nothing may come back to it.
        for code in told.known.values():
            if code.before is send.code:
                code.before, code.wrong_before = send.code.before, send.code.wrong_before

    @rule(phone=phones, client=clients)
    def somebody_guesses_wrong(self, phone: PhoneNumber, client: str) -> None:
        self.guess(phone, client, self.bench.wrong(phone), right=False)

    @precondition(lambda self: any(told.known for told in self.phones.values()))
    @rule(client=clients, data=st.data())
    def a_user_enters_a_code_that_was_sent(self, client: str, data: st.DataObject) -> None:
        phone, nonce = data.draw(
            st.sampled_from([(p, n) for p, told in self.phones.items() for n in list(told.known)[-3:]])
        )
        told = self.phones[phone]
        live = told.live(self.now)
        right = live is not None and told.known[nonce] is live
        self.guess(phone, client, self.bench.codes.derive(phone, nonce), right=right)

    @precondition(lambda self: self.steps < MOST_STEPS)
    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds)
        self.now += seconds
        self.steps += 1
        for told in self.phones.values():
            # A send takes ten seconds at most; after that it was confirmed, or never will be.
            told.in_flight.clear()

    @invariant()
    def every_key_ends(self) -> None:
        self.bench.snapshot()

    @invariant()
    def the_sessions_are_the_last_ten_logins(self) -> None:
        for phone, told in self.phones.items():
            alive = self.bench.run("ZRANGE", self.bench.keys(phone).sessions, 0, -1)
            assert {each.decode() for each in alive} == set(told.sessions[-10:])

    def guess(self, phone: PhoneNumber, client: str, code: str, *, right: bool) -> None:
        told, now = self.phones[phone], self.now
        used = told.tries_used(now)
        wait = told.budget_wait(now, client)
        if used >= TRIES:
            wait = max(wait, told.wrong[0] + LIFE - now)
        # The rules of the first release, without the guesses that could not be right.
        matters = [f for f in told.failures if f.client == client and not f.forgiven]
        was_free = len(_current_period(told.failures, now)) < PER_PHONE
        was_free &= len(_current_period(matters, now)) < PER_CLIENT
        outcome: Session | GatewayError
        try:
            outcome = self.bench.verify(code, client, phone=phone)
        except GatewayError as error:
            outcome = error
        if told.live(now) and not isinstance(outcome, TooManyAttempts):
            assert was_free
            told.compared.append(now)
            # The budget's period is fixed, so any 24 h may touch two of them.
            assert sum(at > now - DAY for at in told.compared) <= 2 * PER_PHONE + len(told.sessions)
        if wait:
            assert isinstance(outcome, TooManyAttempts)
            self.about(outcome.retry_after, wait)
        elif right:
            assert isinstance(outcome, Session)
            assert told.code
            assert outcome.channel == [s.channel for s in told.sends if s.code is told.code][-1]
            told.code, told.wrong, told.worthless = None, [], []
            told.sessions.append(outcome.id)
            for failure in told.failures:
                failure.forgiven |= failure.client == client
        else:
            assert isinstance(outcome, InvalidCode)
            if not used:
                told.worthless = []
            told.wrong = [*told.wrong, now] if used else [now]
            (told.failures if told.was_sent(now) else told.worthless).append(Failure(now, client))
            left = min(TRIES - len(told.wrong), told.budget_left(now, client))
            assert outcome.attempts_remaining == left

    @staticmethod
    def about(milliseconds: int, seconds: float) -> None:
        assert milliseconds == pytest.approx(1000 * seconds, abs=TOLERANCE)


def test_any_story_ends_as_the_contract_says(redis_client: RedisClient) -> None:
    class ThisStory(Story):
        def __init__(self) -> None:
            super().__init__(redis_client)

    run_state_machine_as_test(
        ThisStory,
        settings=settings(
            max_examples=50,
            stateful_step_count=35,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
