"""After a send that definitely sent no message, Redis is as it was before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyOtpRequests
from otp_gateway.store.client import RedisClient
from tests.store.bench import Bench, settle


def nothing(_bench: Bench) -> None:
    pass


def young_code(bench: Bench) -> None:
    bench.issue()
    bench.fail()
    bench.advance(100)


def young_code_sent_by_call(bench: Bench) -> None:
    bench.issue(channel="call")


def code_in_its_second_half(bench: Bench) -> None:
    bench.issue()
    bench.advance(200)


def code_in_its_second_half_with_tries(bench: Bench) -> None:
    bench.issue(channel="call")
    bench.advance(120)
    bench.fail()
    bench.fail("work")
    bench.advance(80)


def exhausted_code(bench: Bench) -> None:
    bench.issue()
    while bench.fail():
        pass


def code_that_replaced_another(bench: Bench) -> None:
    exhausted_code(bench)
    bench.issue()
    bench.advance(170)


def tries_without_a_code(bench: Bench) -> None:
    bench.fail()
    bench.fail("work")
    bench.advance(50)


def tries_that_outlive_their_code(bench: Bench) -> None:
    bench.issue()
    bench.advance(299)
    bench.fail()
    bench.advance(20)


def used_code(bench: Bench) -> None:
    bench.verify(bench.issue())
    bench.fail()


def sends_older_than_the_log(bench: Bench) -> None:
    bench.issue()
    bench.advance(70_000)
    bench.issue()
    bench.advance(10_000)


HISTORIES = [
    nothing,
    young_code,
    young_code_sent_by_call,
    code_in_its_second_half,
    code_in_its_second_half_with_tries,
    exhausted_code,
    code_that_replaced_another,
    tries_without_a_code,
    tries_that_outlive_their_code,
    used_code,
    sends_older_than_the_log,
]


@pytest.mark.parametrize("history", HISTORIES)
def test_a_withdrawn_send_leaves_redis_as_it_was(bench: Bench, history: Callable[[Bench], None]) -> None:
    history(bench)
    before = bench.snapshot()
    settle()
    issued = bench.issue()
    settle()
    bench.withdraw(issued)
    bench.assert_same(before)
    # Once more: a repeated withdrawal, and a whole second cycle.
    assert bench.replay() == ["withdrawn", b""]
    bench.assert_same(before)
    bench.withdraw(bench.issue())
    bench.assert_same(before)


def test_a_withdrawn_send_is_not_charged(bench: Bench) -> None:
    for _ in range(30):
        bench.withdraw(bench.issue())
    for _ in range(3):
        bench.issue()
    with pytest.raises(TooManyOtpRequests):
        bench.issue()


@pytest.mark.parametrize("age", [10, 200, 299])
def test_the_code_in_the_users_hand_still_works_after_a_failed_resend(bench: Bench, age: int) -> None:
    first = bench.issue()
    bench.advance(age)
    second = bench.issue()
    bench.withdraw(second)
    if second.nonce != first.nonce:
        with pytest.raises(InvalidCode):
            bench.verify(second)
    bench.verify(first)


def test_guesses_made_meanwhile_cost_the_old_code_no_try_but_count_for_the_budgets(
    redis_client: RedisClient,
) -> None:
    bench = Bench(redis_client, max_failures_per_client=5)
    first = bench.issue()
    assert bench.fail() == 2
    bench.advance(200)
    second = bench.issue()
    assert [bench.fail(), bench.fail()] == [2, 1]
    bench.withdraw(second)
    # The old code has two tries left as before. This client has used two failures of its five.
    assert bench.fail() == 1
    bench.verify(first)


def test_guesses_made_meanwhile_are_no_tries_of_a_code_that_had_none(bench: Bench) -> None:
    bench.issue()
    bench.advance(200)
    second = bench.issue()
    assert bench.fail() == 2
    bench.withdraw(second)
    assert bench.fail() == 2


def test_a_code_that_replaced_the_failed_one_meanwhile_stays(bench: Bench) -> None:
    failed = bench.issue()
    while bench.fail():
        pass
    arrived = bench.issue("work")
    bench.withdraw(failed)
    bench.verify(arrived)


def test_a_new_code_that_another_send_repeats_stays(bench: Bench) -> None:
    bench.issue()
    bench.advance(200)
    failed = bench.issue()
    arrived = bench.issue("work", channel="call")
    assert arrived.nonce == failed.nonce
    bench.withdraw(failed)
    assert bench.fail() == 2
    assert bench.verify(arrived).channel == "call"
    # The first send and the one that arrived are charged, the failed one is not.
    bench.issue()
    bench.issue()
    with pytest.raises(TooManyOtpRequests):
        bench.issue()


def test_a_failed_resend_of_a_code_that_arrived_leaves_it_alone(bench: Bench) -> None:
    bench.issue()
    bench.advance(200)
    arrived = bench.issue()
    before = bench.snapshot()
    bench.withdraw(bench.issue(channel="call"))
    bench.assert_same(before)
    assert bench.verify(arrived).channel == "sms"


@pytest.mark.parametrize("last_first", [True, False])
@pytest.mark.parametrize("history", HISTORIES)
def test_two_sends_of_one_new_code_that_both_fail_leave_redis_as_it_was(
    bench: Bench, history: Callable[[Bench], None], *, last_first: bool
) -> None:
    history(bench)
    before = bench.snapshot()
    both = [bench.issue(), bench.issue("work", channel="call")]
    for issued in both[::-1] if last_first else both:
        bench.withdraw(issued)
    bench.assert_same(before)


@pytest.mark.parametrize("last_first", [True, False])
@pytest.mark.parametrize("age", [0, 200])
def test_two_failed_sends_with_guesses_between_leave_the_first_code_alive(
    redis_client: RedisClient, age: int, *, last_first: bool
) -> None:
    bench = Bench(redis_client, max_failures_per_client=1000)
    first = bench.issue()
    bench.advance(age)
    if not age:
        while bench.fail("stranger"):
            pass
    before = bench.run("HGETALL", bench.keys().code)
    both = [bench.issue()]
    while bench.fail("stranger"):
        pass
    both.append(bench.issue("work"))
    assert len({first.nonce, both[0].nonce, both[1].nonce}) == 3
    for issued in both[::-1] if last_first else both:
        bench.withdraw(issued)
    assert bench.run("HGETALL", bench.keys().code) == before
    if age:
        bench.verify(first)


def test_a_login_with_the_new_code_meanwhile_stands(bench: Bench) -> None:
    first = bench.issue()
    bench.advance(200)
    failed = bench.issue()
    code = bench.code(failed)
    bench.verify(failed)
    before = bench.snapshot()
    bench.withdraw(failed)
    after = bench.snapshot()
    assert after[0].keys() == before[0].keys()
    del before[0][bench.keys().sends.encode()], after[0][bench.keys().sends.encode()]
    assert after[0] == before[0]
    for spent in (code, bench.code(first)):
        with pytest.raises(InvalidCode):
            bench.verify(spent)


def test_a_code_that_ended_meanwhile_does_not_come_back(bench: Bench) -> None:
    first = bench.issue()
    bench.advance(299)
    failed = bench.issue()
    bench.advance(2)
    bench.withdraw(failed)
    with pytest.raises(InvalidCode):
        bench.verify(first)
    bench.snapshot()


def test_a_withdrawal_past_its_deadline_does_nothing(bench: Bench) -> None:
    issued = bench.issue()
    before = bench.snapshot()
    settle()
    with pytest.raises(StoreUnavailable):
        bench.withdraw(issued, bench.caller(read_ago=2))
    bench.assert_same(before)


@pytest.mark.parametrize("between", ["another send", "a login", "failures", "another failed send"])
def test_a_withdrawal_repeated_after_others_changes_nothing(bench: Bench, between: str) -> None:
    bench.withdraw(bench.issue())
    call = bench.scripts.calls[-1]
    match between:
        case "another send":
            bench.issue()
        case "a login":
            bench.verify(bench.issue())
        case "failures":
            bench.fail()
        case "another failed send":
            bench.issue()
            bench.withdraw(bench.issue())
    before = bench.snapshot()
    settle()
    assert bench.replay(call) == ["withdrawn", b""]
    bench.assert_same(before)


def test_a_guess_is_known_again_after_a_withdrawal_has_set_the_tries_back(bench: Bench) -> None:
    bench.fail("work")
    bench.advance(299.9)
    issued = bench.issue()
    assert bench.fail() == 2
    guess = bench.scripts.calls[-1]
    bench.withdraw(issued)
    bench.advance(0.5)
    before = bench.snapshot()
    assert bench.replay(guess) == ["wrong", 2]
    bench.assert_same(before)
