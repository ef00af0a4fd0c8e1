"""Sends: windows, resends, budgets."""

from __future__ import annotations

import pytest

from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyAttempts, TooManyOtpRequests
from otp_gateway.model import Window
from otp_gateway.store.client import RedisClient
from tests.store.bench import DAY, OTHER_PHONE, SLACK, Bench, settle

# Seconds before a boundary; also a slow machine needs less time between two calls.
EDGE = 0.4

WINDOWS = [
    pytest.param(3, 120, 40, id="3 in 2 minutes"),
    pytest.param(3, 120, 0, id="3 at once in 2 minutes"),
    pytest.param(3, 120, 59, id="3 in 2 minutes, far apart"),
    pytest.param(10, 3600, 130, id="10 in an hour"),
    pytest.param(20, DAY, 401, id="20 in a day"),
]


def refusal(bench: Bench) -> int:
    with pytest.raises(TooManyOtpRequests) as error:
        bench.issue()
    return error.value.retry_after


@pytest.mark.parametrize(("limit", "seconds", "gap"), WINDOWS)
def test_a_window_slides_and_its_wait_is_enough_and_no_longer_than_needed(
    bench: Bench, limit: int, seconds: int, gap: int
) -> None:
    last = bench.issue()
    for _ in range(limit - 1):
        assert last.resend_in == 0
        bench.advance(gap)
        last = bench.issue()
    left = 1000 * (seconds - gap * (limit - 1))
    assert last.resend_in == pytest.approx(left, abs=10 * SLACK)

    wait = refusal(bench)
    assert wait <= last.resend_in
    assert wait == pytest.approx(left, abs=10 * SLACK)
    bench.advance(wait / 1000 - EDGE)
    wait = refusal(bench)
    assert 0 < wait <= 1000 * EDGE
    bench.advance(wait / 1000)
    bench.issue()
    if gap:
        assert refusal(bench) == pytest.approx(1000 * gap, abs=10 * SLACK)


def test_in_no_stretch_of_two_minutes_a_fourth_send_fits(bench: Bench) -> None:
    sends: list[int] = []
    for gap in (0, 30, 80, 1, 20, 60, 60, 1, 1, 1, 90, 30, 100, 0.3, 19, 2, 119) * 2:
        bench.advance(gap)
        sends = [at - round(1000 * gap) for at in sends]
        now = bench.now()
        fits = all(
            sum(at > now - 1000 * window.seconds for at in sends) < window.limit
            for window in bench.policy.windows
        )
        try:
            bench.issue()
            sends.append(now)
        except TooManyOtpRequests:
            assert not fits
        else:
            assert fits
    assert len(sends) == 10


def test_the_longest_wait_of_several_windows_counts(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, windows=(Window(1, 60), Window(2, 600)))
    bench.issue()
    assert refusal(bench) == pytest.approx(60_000, abs=SLACK)
    bench.advance(60)
    assert bench.issue().resend_in == pytest.approx(540_000, abs=SLACK)
    assert refusal(bench) == pytest.approx(540_000, abs=SLACK)


def test_a_client_that_is_locked_out_is_told_to_wait_for_the_window_as_well(
    redis_client: RedisClient,
) -> None:
    bench = Bench(redis_client, windows=(Window(1, 120),), max_failures_per_client=1)
    bench.issue("work")
    bench.advance(121)
    bench.fail()
    bench.advance(DAY - 10)
    bench.issue("work")
    with pytest.raises(TooManyAttempts) as error:
        bench.issue()
    bench.advance(error.value.retry_after / 1000)
    bench.issue()


def test_a_refused_send_is_not_charged_and_changes_nothing(bench: Bench) -> None:
    for _ in range(3):
        bench.issue()
    before = bench.snapshot()
    settle()
    for client in ("home", "work") * 5:
        with pytest.raises(TooManyOtpRequests):
            bench.issue(client)
    bench.assert_same(before)


def test_windows_and_codes_of_two_phones_are_apart(bench: Bench) -> None:
    codes = {bench.issue().nonce for _ in range(3)} | {bench.issue(phone=OTHER_PHONE).nonce for _ in range(3)}
    assert len(codes) == 2
    with pytest.raises(TooManyOtpRequests):
        bench.issue(phone=OTHER_PHONE)


def test_a_first_code_is_valid_for_its_whole_lifetime(bench: Bench) -> None:
    assert bench.issue().expires_in == pytest.approx(300_000, abs=SLACK)


@pytest.mark.parametrize("age", [0, 100, 150 - EDGE])
def test_a_resend_repeats_the_live_code_while_half_its_lifetime_is_left(bench: Bench, age: float) -> None:
    first = bench.issue()
    bench.advance(age)
    again = bench.issue("work")
    assert again.nonce == first.nonce
    assert again.expires_in == pytest.approx(300_000 - 1000 * age, abs=SLACK)
    assert again.send_id != first.send_id


@pytest.mark.parametrize("age", [150 + EDGE, 299, 301])
def test_a_resend_after_half_its_lifetime_replaces_the_code(bench: Bench, age: float) -> None:
    first = bench.issue()
    bench.advance(age)
    again = bench.issue()
    assert again.nonce != first.nonce
    assert again.expires_in == pytest.approx(300_000, abs=SLACK)
    with pytest.raises(InvalidCode):
        bench.verify(first)
    bench.verify(again)


def test_a_resend_of_an_exhausted_code_replaces_it_and_clears_the_tries(bench: Bench) -> None:
    first = bench.issue()
    assert [bench.fail() for _ in range(3)] == [2, 1, 0]
    again = bench.issue()
    assert again.nonce != first.nonce
    assert bench.fail() == 2
    with pytest.raises(InvalidCode):
        bench.verify(first)
    bench.verify(again)


def test_a_resend_that_repeats_the_code_gives_no_try_back(bench: Bench) -> None:
    first = bench.issue()
    assert [bench.fail(), bench.fail()] == [2, 1]
    assert bench.issue().nonce == first.nonce
    assert bench.fail() == 0
    with pytest.raises(TooManyAttempts):
        bench.verify(first)


def test_a_new_code_gives_no_failure_back_that_the_budgets_have_counted(bench: Bench) -> None:
    for left in (2, 1, 0), (2, 1, 0), (2, 1, 0), (0,):
        bench.advance(150)
        bench.issue()
        assert [bench.fail() for _ in left] == list(left)
    with pytest.raises(TooManyAttempts):
        bench.issue()


def test_the_channel_of_the_last_send_counts_for_the_login(bench: Bench) -> None:
    bench.issue()
    assert bench.verify(bench.issue(channel="call")).channel == "call"
    assert bench.verify(bench.issue()).channel == "sms"


def test_an_exhausted_code_is_replaced_however_often_it_was_sent(bench: Bench) -> None:
    nonces = [bench.issue().nonce, bench.issue().nonce]
    for _ in range(3):
        bench.fail()
    assert len({*nonces, bench.issue().nonce}) == 2


def test_an_issue_past_its_deadline_does_nothing(bench: Bench) -> None:
    bench.issue()
    bench.advance(200)
    before = bench.snapshot()
    settle()
    with pytest.raises(StoreUnavailable):
        bench.issue(bench.caller(read_ago=2))
    bench.assert_same(before)


@pytest.mark.parametrize("age", [0, 100, 200, 400])
def test_a_repeated_issue_answers_the_same_and_changes_nothing(bench: Bench, age: float) -> None:
    bench.issue()
    bench.fail()
    bench.advance(age)
    issued = bench.issue()
    before = bench.snapshot()
    settle()
    for _ in range(3):
        tag, left, wait, _device, nonce, *_ = bench.replay()
        assert (tag, nonce.decode()) == ("issued", issued.nonce)
        assert (left, wait) == pytest.approx((issued.expires_in, issued.resend_in), abs=SLACK)
    bench.assert_same(before)


@pytest.mark.parametrize("between", ["resend", "failures", "replacement", "login", "full window"])
def test_an_issue_repeated_after_others_changes_nothing(bench: Bench, between: str) -> None:
    issued = bench.issue()
    call = bench.scripts.calls[-1]
    match between:
        case "resend":
            bench.issue("work")
        case "failures":
            for _ in range(3):
                bench.fail()
        case "replacement":
            for _ in range(3):
                bench.fail()
            bench.issue("work")
        case "login":
            bench.verify(issued)
        case "full window":
            bench.issue("work")
            bench.issue("work")
    before = bench.snapshot()
    settle()
    reply = bench.replay(call)
    bench.assert_same(before)
    assert (reply[0], reply[4].decode()) == ("issued", issued.nonce)
