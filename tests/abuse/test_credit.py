"""No credit is created by losses, repeats, withdrawals or kills.

The rules are those of the contract, and the ledger below keeps whole histories. It repeats no calculation of
the scripts, except how a bucket refills and decays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from otp_gateway.credit import Earned
from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyAttempts, TooManyOtpRequests
from otp_gateway.model import Issued, PhoneNumber
from otp_gateway.store import keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.gate import GateRefusal
from tests.abuse.test_gate import GERMAN, Gate
from tests.store.bench import DAY, PHONE

CREDIT = 4
# Base, cap, credits an hour, and whether earned credit decays.
POOL, NETWORK, PREFIX = (CREDIT, 240.0, 2, True), (6, 40.0, 2, False), (40, 240.0, 2, False)
PHONES = [PHONE, PhoneNumber("+989351112233"), PhoneNumber(f"{GERMAN}3456789")]
NETWORKS = ["home", "work", "train"]
STEPS = [1.25, 600.25, 3600.25, 43_200.25, 86_400.25, 604_800.25]
REPEATED = ("issue", "withdraw", "verify", "give_back")
# A few milliseconds pass in every step. In this time, much less than a hundredth of a credit refills.
SLACK = 0.05

phones, networks = st.sampled_from(PHONES), st.sampled_from(NETWORKS)
# Which of the things that there are. With threads, their number can differ when a story is repeated, so
# Hypothesis must not draw from the things themselves.
picks = st.integers(0, 99)
Thing = TypeVar("Thing")


def pick(things: Sequence[Thing], number: int) -> Thing:
    """One of the things."""
    return things[number % len(things)]


@dataclass
class Ledger:
    """The credit that each bucket has paid and got back."""

    paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    returned: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    extra: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Story(RuleBasedStateMachine):
    """Sends, logins, failures and losses in any order."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__()
        self.gate = Gate(client, credit=CREDIT, budget="8/3600;20/86400")
        self.gate.run("FLUSHALL")
        self.now = 0.0
        self.ledger = Ledger()
        self.sends: list[tuple[PhoneNumber, str, Issued]] = []
        self.waiting: list[Earned] = []
        self.batches: list[tuple[str, list[Earned]]] = []
        self.last_extra: dict[PhoneNumber, float] = {}
        self.gone_out: list[float] = []

    # Actions of people, the provider and the network.

    @rule(phone=phones, network=networks, solved=st.booleans())
    def a_stranger_requests_a_code(self, phone: PhoneNumber, network: str, *, solved: bool) -> None:
        before = self.levels()
        try:
            found = self.gate.send(network, phone, solved=solved)
        except TooManyOtpRequests:
            assert self.same(before)
            return
        if not isinstance(found, Issued):
            assert self.same(before), "a refused send takes nothing"
            return
        self.sends.append((phone, network, found))
        self.gone_out.append(self.now)
        taken = {name: level - self.levels()[name] for name, level in before.items()}
        for name, number in taken.items():
            assert number == pytest.approx(0, abs=SLACK) or number == pytest.approx(1, abs=SLACK)
            self.ledger.paid[name] += round(number)
        assert found.gate == ("free" if any(round(number) for number in taken.values()) else "solved")

    @rule(network=networks, number=st.integers(2, 4))
    def strangers_request_codes_at_once(self, network: str, number: int) -> None:
        before = self.levels()
        asked = [self.gate.phone() for _ in range(number)]
        with ThreadPoolExecutor(number) as pool:
            found = list(pool.map(partial(self.send_or_fail, network), asked))
        issued = [
            (phone, network, one) for phone, one in zip(asked, found, strict=True) if isinstance(one, Issued)
        ]
        # On a busy machine, a call can come behind its deadline.
        uncertain = found.count(None)
        self.sends += issued
        self.gone_out += [self.now] * (len(issued) + uncertain)
        after = self.levels()
        taken = {name: round(level - after[name]) for name, level in before.items()}
        assert len(issued) <= taken[network] <= len(issued) + uncertain
        assert taken[network] == taken["new"] + taken["known"]
        for name, credits_ in taken.items():
            self.ledger.paid[name] += credits_

    def send_or_fail(self, network: str, phone: PhoneNumber) -> Issued | GateRefusal | None:
        """A send; None if Redis did not answer in time."""
        try:
            return self.gate.send(network, phone)
        except StoreUnavailable:
            return None

    @rule(number=picks)
    def two_recorders_write_the_same_batch_at_once(self, number: int) -> None:
        if not self.batches:
            return
        name, earned = pick(self.batches[-2:], number)
        with self.returning(), ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: self.gate.give_back(*earned, batch=name), range(2)))

    @rule(number=picks)
    def a_send_fails(self, number: int) -> None:
        if not self.sends:
            return
        send = pick(self.sends, number)
        phone, network, issued = send
        with self.returning():
            self.gate.withdraw(issued, self.gate.caller(network), phone=phone)
        self.sends.remove(send)

    @rule(number=picks, network=networks)
    def a_user_signs_in(self, number: int, network: str) -> None:
        if not self.sends:
            return
        phone, _, issued = pick(self.sends, number)
        before = self.levels()
        try:
            earned = self.gate.earn(phone, issued, network)
        except (InvalidCode, TooManyAttempts):
            return
        finally:
            assert self.same(before), "a login itself changes no bucket"
        # The gateway earns one more credit at most once in 24 h.
        if earned.first:
            assert self.now - self.last_extra.get(phone, -2 * DAY) >= DAY
            self.last_extra[phone] = self.now
            for name in self.buckets():
                self.ledger.extra[name] += 1
        self.waiting.append(earned)

    @rule()
    def the_recorder_writes(self) -> None:
        if not self.waiting:
            return
        name = f"batch {len(self.batches)}"
        self.batches.append((name, self.waiting))
        self.waiting = []
        self.write(*self.batches[-1])

    # Faults.

    @rule(number=picks)
    def a_reply_to_the_recorder_is_lost(self, number: int) -> None:
        if self.batches:
            self.write(*pick(self.batches[-2:], number))

    @rule()
    def a_worker_is_killed(self) -> None:
        self.waiting = []

    @rule()
    def a_reply_is_lost_and_the_call_repeated(self) -> None:
        # A repeated attempt comes at once, before time passes.
        calls = [call for call in getattr(self.gate.scripts, "calls", []) if call[0] in REPEATED]
        before = self.levels()
        for call in calls[-1:]:
            self.gate.replay(call)
        assert self.same(before)

    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: float) -> None:
        self.gate.advance(seconds)
        self.now += seconds
        self.gate.scripts.calls = []
        # Redis has forgotten the batches by then, and the recorder no longer repeats them.
        if seconds > 3000:
            self.batches = []

    # The rules.

    @invariant()
    def no_credit_is_above_its_cap_or_below_zero(self) -> None:
        for name, (key, field_, (_, cap, _, _)) in self.buckets().items():
            level = self.gate.level(key, field_)
            assert level == -1 or 0 <= level <= cap, name

    @invariant()
    def what_is_given_back_never_exceeds_what_was_paid_and_one_per_phone_and_day(self) -> None:
        ledger = self.ledger
        for name in self.buckets():
            assert ledger.returned[name] <= ledger.paid[name] + ledger.extra[name] + SLACK, name

    @invariant()
    def the_budget_counts_what_may_have_gone_out(self) -> None:
        uses = self.gate.figures.budget()
        assert all(use.sends <= len(self.gone_out) for use in uses)
        assert all(use.sends <= use.window.limit * 70 // 100 for use in uses)

    @invariant()
    def every_key_expires(self) -> None:
        self.gate.snapshot()

    # Observation.

    def write(self, name: str, earned: list[Earned]) -> None:
        with self.returning():
            self.gate.give_back(*earned, batch=name)

    def returning(self) -> Any:
        """The block gives credit back: the ledger records how much."""
        story = self

        class Returning:
            def __enter__(self) -> None:
                self.before = story.levels()

            def __exit__(self, *_: object) -> None:
                for name, level in story.levels().items():
                    assert level >= self.before[name] - SLACK
                    story.ledger.returned[name] += max(0.0, round(level - self.before[name]))

        return Returning()

    def buckets(self) -> dict[str, tuple[str, str, tuple[float, float, int, bool]]]:
        found: dict[str, tuple[str, str, tuple[float, float, int, bool]]] = {
            pool: (keys.GATE_SHARED, pool, POOL) for pool in ("new", "known")
        }
        found |= {name: (keys.gate_network(name), "credit", NETWORK) for name in NETWORKS}
        found["foreign"] = (keys.gate_prefix(GERMAN[:6]), "", PREFIX)
        return found

    def levels(self) -> dict[str, float]:
        """The credit of every bucket now."""
        now = self.gate.now()
        return {name: self._level(now, *bucket) for name, bucket in self.buckets().items()}

    def _level(self, now: int, key: str, field_: str, rule_: tuple[float, float, int, bool]) -> float:
        base, cap, per_hour, decays = rule_
        text = self.gate.run("HGET", key, field_) if field_ else self.gate.run("GET", key)
        if not text:
            return base
        level, at = float(text.split(b":")[0]), int(text.split(b":")[1])
        hours = (now - at) / 3_600_000
        if level < base:
            return min(base, level + per_hour * hours)
        return max(base, level - (cap - base) * hours) if decays else level

    def same(self, before: dict[str, float]) -> bool:
        return self.levels() == pytest.approx(before, abs=SLACK)


def run(client: RedisClient, examples: int, *, derandomize: bool) -> None:
    class ThisStory(Story):
        def __init__(self) -> None:
            super().__init__(client)

    run_state_machine_as_test(
        ThisStory,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_story_makes_credit(redis_client: RedisClient) -> None:
    run(redis_client, 10, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_no_long_search_finds_a_story_that_makes_credit(redis_client: RedisClient) -> None:
    run(redis_client, 150, derandomize=False)
