"""Guesses: tries, budgets, logins, and that a phone without a code looks like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyAttempts
from otp_gateway.model import Issued, PhoneNumber, Window
from otp_gateway.store.client import RedisClient
from tests.store.bench import DAY, OTHER_PHONE, PHONE, SLACK, Bench, settle

EDGE = 0.4
ROOMY = (Window(1000, 60),)


def locked(request: Callable[[], object], by: str | None = None) -> int:
    """How long the request is refused, by the limit of this name."""
    with pytest.raises(TooManyAttempts) as error:
        request()
    assert by in (None, error.value.limit)
    return error.value.retry_after


def spend(bench: Bench, failures: int, clients: list[str]) -> None:
    """Make so many wrong guesses, if possible three in each lifetime of the tries."""
    for n in range(failures):
        if n and n % 3 == 0:
            bench.advance(300)
        bench.fail(clients[n % len(clients)])


def test_a_right_code_logs_in_once(bench: Bench) -> None:
    issued = bench.issue()
    session = bench.verify(issued)
    assert len({session.id, session.refresh_id, session.access_id}) == 3
    assert session.authenticated_at == pytest.approx(bench.now() / 1000, abs=2)
    assert session.channel == "sms"
    with pytest.raises(InvalidCode):
        bench.verify(issued)


def test_a_code_is_only_good_for_its_own_phone_and_life(bench: Bench) -> None:
    code = bench.code(bench.issue())
    bench.issue(phone=OTHER_PHONE)
    with pytest.raises(InvalidCode):
        bench.verify(code, phone=OTHER_PHONE)
    bench.advance(300)
    with pytest.raises(InvalidCode):
        bench.verify(code)


def test_a_code_works_until_its_last_moment(bench: Bench) -> None:
    issued = bench.issue()
    bench.advance(300 - EDGE)
    bench.verify(issued)


def test_three_wrong_guesses_lock_the_code_and_waiting_as_the_reply_says_is_enough(bench: Bench) -> None:
    issued = bench.issue()
    assert [bench.fail(client) for client in ("home", "work", "home")] == [2, 1, 0]
    for client in ("home", "work", "elsewhere"):
        wait = locked(lambda client=client: bench.verify(issued, client), by="tries")  # type: ignore[misc]
        assert wait == pytest.approx(300_000, abs=SLACK)
    bench.advance(wait / 1000 - EDGE)
    wait = locked(lambda: bench.verify(issued))
    bench.advance(wait / 1000 + 0.001)
    assert bench.fail() == 2


def test_tries_end_a_codes_lifetime_after_the_first_of_them(bench: Bench) -> None:
    for left in (2, 1, 0):
        assert bench.fail() == left
        bench.advance(100)
    assert bench.fail() == 2


def test_a_locked_guess_costs_nothing(bench: Bench) -> None:
    issued = bench.issue()
    for _ in range(3):
        bench.fail()
    before = bench.snapshot()
    settle()
    for client in ("home", "work") * 3:
        locked(lambda client=client: bench.verify(issued, client))  # type: ignore[misc]
    bench.assert_same(before)


def test_tries_outlive_a_code_that_expires(bench: Bench) -> None:
    bench.issue()
    bench.advance(290)
    assert [bench.fail(), bench.fail()] == [2, 1]
    bench.advance(20)
    assert bench.fail() == 0
    locked(bench.fail)


def test_tries_made_without_a_code_end_with_the_next_code(bench: Bench) -> None:
    assert [bench.fail() for _ in range(3)] == [2, 1, 0]
    locked(bench.fail)
    issued = bench.issue()
    assert bench.fail() == 2
    bench.verify(issued)


def test_a_login_clears_the_tries(bench: Bench) -> None:
    issued = bench.issue()
    assert [bench.fail(), bench.fail()] == [2, 1]
    bench.verify(issued)
    assert bench.fail() == 2


def test_ten_failures_lock_one_client_out_of_both_endpoints_for_a_day(bench: Bench) -> None:
    bench.issue("work")
    spend(bench, 10, ["home"])
    bench.advance(300)
    for request in (bench.fail, bench.issue):
        wait = locked(request, by="client_failures")
        assert wait == pytest.approx(1000 * (DAY - 4 * 300), abs=10 * SLACK)
    issued = bench.issue("work")
    locked(lambda: bench.verify(issued, "home"))
    bench.verify(issued, "work")

    bench.advance(wait / 1000 - EDGE)
    locked(bench.issue)
    bench.advance(locked(bench.fail) / 1000 + 0.001)
    bench.verify(bench.issue())


def test_the_last_failures_of_a_budget_are_reported_as_the_tries_that_remain(bench: Bench) -> None:
    bench.issue()
    spend(bench, 9, ["home"])
    bench.advance(300)
    assert bench.fail("home") == 0
    assert bench.fail("work") == 1


@pytest.mark.parametrize(("device_lifetime", "failures"), [(0, 50), (90 * DAY, 40)])
def test_a_used_up_budget_locks_the_phone_for_every_client_without_a_device(
    redis_client: RedisClient, device_lifetime: int, failures: int
) -> None:
    bench = Bench(redis_client, device_lifetime=device_lifetime)
    clients = [f"client-{n}" for n in range(10)]
    bench.issue()
    spend(bench, failures, clients)
    bench.advance(300)
    spent_for = 300 * (failures // 3 + 1)
    for client in ("client-0", "new"):
        for request in (bench.fail, bench.issue):
            wait = locked(lambda request=request, client=client: request(client), by="phone_failures")  # type: ignore[misc]
            assert wait == pytest.approx(1000 * (DAY - spent_for), abs=20 * SLACK)
    bench.issue(phone=OTHER_PHONE)
    bench.advance(wait / 1000 + 0.001)
    bench.verify(bench.issue("new"), "new")


def test_a_success_clears_its_own_clients_count_and_no_other(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, windows=ROOMY, max_failures_per_phone=14, device_lifetime=0)
    for _ in range(3):
        bench.issue()
        bench.fail("home"), bench.fail("home"), bench.fail("work")
    bench.verify(bench.issue(), "home")
    # The client at home has all ten again, the client at work has used three; the phone has used nine of
    # fourteen.
    for left in (2, 1, 0), (1, 0):
        bench.issue()
        assert [bench.fail("home") for _ in left] == list(left)
    locked(lambda: bench.fail("home"))
    locked(lambda: bench.issue("work"))


def test_a_login_does_not_open_a_phone_whose_budget_is_used_up(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, windows=ROOMY, max_failures_per_phone=2)
    issued = bench.issue()
    assert [bench.fail("a"), bench.fail("b")] == [1, 0]
    locked(lambda: bench.verify(issued, "c"))
    locked(lambda: bench.issue("c"))


def test_a_client_whose_budget_is_used_up_gets_no_code_compared(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, max_failures_per_client=1)
    issued = bench.issue()
    bench.fail("bad")
    locked(lambda: bench.verify(issued, "bad"))
    bench.verify(issued, "good")


def test_an_eleventh_login_ends_the_oldest_session(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, windows=ROOMY)
    sessions = []
    for _ in range(12):
        sessions.append(bench.verify(bench.issue()).id)
        bench.advance(1)
    alive = bench.run("ZRANGE", bench.keys().sessions, 0, -1)
    assert [each.decode() for each in alive] == sessions[2:]


def test_sessions_that_have_ended_leave_the_phone(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, session_lifetime=1000)
    bench.verify(bench.issue())
    bench.advance(600)
    second = bench.verify(bench.issue())
    bench.advance(600)
    third = bench.verify(bench.issue())
    alive = bench.run("ZRANGE", bench.keys().sessions, 0, -1)
    assert [each.decode() for each in alive] == [second.id, third.id]


def live(bench: Bench, phone: PhoneNumber) -> None:
    bench.issue(phone=phone)


def used(bench: Bench, phone: PhoneNumber) -> None:
    bench.verify(bench.issue(phone=phone), phone=phone)


def expired(bench: Bench, phone: PhoneNumber) -> None:
    bench.issue(phone=phone)
    bench.run("DEL", bench.keys(phone).code)


def withdrawn(bench: Bench, phone: PhoneNumber) -> None:
    bench.withdraw(bench.issue(phone=phone), phone=phone)


def never_sent(_bench: Bench, _phone: PhoneNumber) -> None:
    pass


GUESSES = ["home", "home", "work", "home", "train", "work"] * 5


def outcome(bench: Bench, client: str, phone: PhoneNumber) -> object:
    """The answer to a wrong guess."""
    try:
        bench.verify(bench.wrong(phone), client, phone=phone)
    except InvalidCode as error:
        return "invalid", error.attempts_remaining
    except TooManyAttempts as error:
        return error.limit, pytest.approx(error.retry_after, abs=SLACK)
    raise AssertionError("a wrong guess is right")


@pytest.mark.parametrize("seconds", [0, 75, 301, 7000])
@pytest.mark.parametrize("other", [used, expired])
def test_a_phone_without_a_live_code_answers_like_one_with_a_code(
    bench: Bench, other: Callable[[Bench, PhoneNumber], None], seconds: float
) -> None:
    live(bench, OTHER_PHONE)
    other(bench, PHONE)
    for client in GUESSES:
        assert outcome(bench, client, PHONE) == outcome(bench, client, OTHER_PHONE)
        ends = [bench.run("PTTL", bench.keys(phone).tries) for phone in (PHONE, OTHER_PHONE)]
        assert ends[0] == pytest.approx(ends[1], abs=SLACK)
        bench.advance(seconds)


@pytest.mark.parametrize("per_client", [1, 2, 10])
@pytest.mark.parametrize("seconds", [0, 9])
@pytest.mark.parametrize("other", [never_sent, withdrawn])
def test_a_phone_that_was_sent_no_code_answers_the_same_while_its_tries_last(
    redis_client: RedisClient,
    other: Callable[[Bench, PhoneNumber], None],
    seconds: float,
    per_client: int,
) -> None:
    bench = Bench(redis_client, max_failures_per_client=per_client, max_failures_per_phone=5, max_attempts=7)
    live(bench, OTHER_PHONE)
    other(bench, PHONE)
    for client in GUESSES:
        assert outcome(bench, client, PHONE) == outcome(bench, client, OTHER_PHONE)
        bench.advance(seconds)


def test_guesses_on_a_phone_without_a_send_are_forgotten_with_the_tries(bench: Bench) -> None:
    for _ in range(3):
        bench.fail()
    values, ends = bench.snapshot()
    assert max(ends.values()) <= bench.now() + 300_000 + SLACK
    bench.advance(301)
    assert bench.snapshot()[0] == {}
    # They are in no budget either.
    bench.issue()
    assert bench.run("EXISTS", bench.keys().tries) == 0
    assert values


def test_a_budget_is_kept_for_a_day_once_the_phone_has_a_send(bench: Bench) -> None:
    bench.issue()
    bench.fail()
    assert bench.run("PTTL", bench.keys().tries) == pytest.approx(1000 * DAY, abs=SLACK)


def test_guesses_before_the_first_send_are_in_no_budget(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, max_failures_per_client=3, max_failures_per_phone=5)
    bench.fail()
    bench.fail()
    bench.issue()
    assert [bench.fail(), bench.fail(), bench.fail()] == [2, 1, 0]
    locked(bench.fail, by="client_failures")


def test_a_guess_past_its_deadline_does_nothing(bench: Bench) -> None:
    issued = bench.issue()
    before = bench.snapshot()
    settle()
    for code in (bench.code(issued), bench.wrong()):
        with pytest.raises(StoreUnavailable):
            bench.verify(code, bench.caller(read_ago=2))
    bench.assert_same(before)
    bench.verify(issued)


@pytest.mark.parametrize("right", [True, False])
def test_a_repeated_guess_answers_the_same_and_changes_nothing(bench: Bench, *, right: bool) -> None:
    issued = bench.issue()
    if right:
        session = bench.verify(issued)
    else:
        bench.fail()
    before = bench.snapshot()
    settle()
    for _ in range(3):
        reply = bench.replay()
        assert reply[1] // 1000 == session.authenticated_at if right else reply == ["wrong", 2]
    bench.assert_same(before)


def other_failures(bench: Bench, _: Issued) -> None:
    bench.fail("work")
    bench.fail("work")


def another_login(bench: Bench, issued: Issued) -> None:
    again = bench.issue("work")
    bench.verify(again, "work")
    assert again.nonce != issued.nonce or bench.fail() == 2


def another_send(bench: Bench, _: Issued) -> None:
    bench.issue("work")


def another_code(bench: Bench, _: Issued) -> None:
    while bench.fail("work"):
        pass
    bench.issue("work")


def its_send_withdrawn(bench: Bench, issued: Issued) -> None:
    bench.withdraw(issued)


OTHERS = [other_failures, another_login, another_send, another_code, its_send_withdrawn]


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("others", OTHERS)
def test_a_guess_repeated_after_others_answers_the_same_and_changes_nothing(
    bench: Bench, others: Callable[[Bench, Issued], None], *, right: bool
) -> None:
    issued = bench.issue()
    if right:
        bench.verify(issued)
    else:
        bench.fail()
    call = bench.scripts.calls[-1]
    first = bench.replay(call)
    others(bench, issued)
    before = bench.snapshot()
    settle()
    assert bench.replay(call) == first
    bench.assert_same(before)


def test_a_guess_that_was_refused_and_is_repeated_changes_nothing(bench: Bench) -> None:
    issued = bench.issue()
    for _ in range(3):
        bench.fail()
    locked(lambda: bench.verify(issued))
    before = bench.snapshot()
    settle()
    assert bench.replay()[0] == "locked"
    bench.assert_same(before)


def test_tries_end_when_they_should_though_answers_are_kept_beside_them(bench: Bench) -> None:
    bench.fail()
    bench.advance(295)
    assert bench.fail() == 1
    bench.advance(6)
    assert bench.fail() == 2


def test_a_code_of_a_few_seconds_has_tries_of_a_few_seconds(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, lifetime=3)
    for _ in range(3):
        bench.fail()
    with pytest.raises(TooManyAttempts) as locked:
        bench.fail()
    assert locked.value.retry_after <= 3001
    bench.advance(3.1)
    assert bench.fail() == 2
