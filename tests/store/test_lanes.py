"""A phone has two lanes. Events in one of them never change the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from otp_gateway.errors import (
    IdempotencyKeyReused,
    InvalidCode,
    SmsBusy,
    StoreUnavailable,
    TooManyAttempts,
    TooManyOtpRequests,
)
from otp_gateway.model import Caller, Issued, SendRequest, Sent, Window
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from tests.store.bench import DAY, OTHER_PHONE, PHONE, SLACK, Bench, settle

LANES = {"common": False, "device": True}
KEY = "one-key-for-all-of-them"


def caller(bench: Bench, *, device: bool, client: str = "home", key: str | None = None) -> Caller:
    return bench.device(client, key=key) if device else bench.caller(client, key=key)


def lane_of(bench: Bench, *, device: bool) -> PhoneKeys:
    return bench.keys().of_devices if device else bench.keys()


def wrong_for(bench: Bench, *issued: Issued) -> str:
    """A code that differs from all codes that were sent."""
    sent = {bench.code(each) for each in issued}
    return next(code for code in ("000000", "000001", "000002") if code not in sent)


def guess(bench: Bench, code: str, who: Caller) -> int:
    """Guess wrong; return how many tries are left."""
    with pytest.raises(InvalidCode) as error:
        bench.verify(code, who)
    return error.value.attempts_remaining


def lane_keys(bench: Bench, *, device: bool) -> dict[str, object]:
    """All data of one lane in Redis."""
    names = lane_of(bench, device=device)
    values, _ = bench.snapshot()
    return {name: values.get(name.encode()) for name in (names.code, names.tries, names.sends)}


@pytest.fixture(params=[False, True], ids=["common", "device"])
def device(request: pytest.FixtureRequest) -> bool:
    """Each of the two lanes."""
    return bool(request.param)


def test_a_send_of_a_device_is_in_its_own_lane(bench: Bench) -> None:
    common, own = bench.issue(), bench.issue(bench.device())
    assert (common.device, own.device) == (False, True)
    assert common.nonce != own.nonce
    assert bench.run("HGET", bench.keys().of_devices.code, "nonce").decode() == own.nonce
    assert bench.run("HGET", bench.keys().code, "nonce").decode() == common.nonce


@pytest.mark.parametrize("made_ago", [1, 0, -1])
def test_a_token_made_before_the_devices_were_forgotten_counts_as_none(bench: Bench, made_ago: int) -> None:
    since = bench.now() - 5_000
    bench.run("SET", bench.keys().devices_since, since, "PX", 60_000)
    who = bench.caller(made_at=since - made_ago)
    issued = bench.issue(who)
    assert issued.device is (made_ago < 0)
    assert bench.verify(issued, who)


def test_each_lane_has_its_own_windows(bench: Bench) -> None:
    def fill(who: Caller, limit: str, *steps: tuple[int, float]) -> int:
        """Send so often, with so many seconds in between.

        The number of sends until a day's window is full.
        """
        sent = 0
        for sends, seconds in steps:
            for _ in range(sends):
                bench.issue(who)
                sent += 1
            with pytest.raises(TooManyOtpRequests) as error:
                bench.issue(who)
            assert error.value.limit == limit
            bench.advance(seconds)
        return sent

    own = bench.device()
    hour = 3600 - 120
    assert fill(own, "device", (3, 120), (2, hour), (3, 120), (2, hour)) == 10
    with pytest.raises(TooManyOtpRequests):
        bench.issue(bench.device())
    # Clients without a token still have all of their sends.
    assert fill(bench.caller(), "phone", (3, 120), (3, 120), (3, 120), (1, 0)) == 10
    assert bench.run("LLEN", bench.keys().of_devices.sends) == 10


def test_the_operators_windows_do_not_change_the_device_lane(redis_client: RedisClient) -> None:
    bench = Bench(redis_client, windows=(Window(1, 600),))
    bench.issue()
    with pytest.raises(TooManyOtpRequests):
        bench.issue()
    for _ in range(3):
        bench.issue(bench.device())
    with pytest.raises(TooManyOtpRequests):
        bench.issue(bench.device())
    # The log of each lane is kept as long as its own longest window.
    bench.advance(DAY - 600)
    assert bench.run("LLEN", bench.keys().of_devices.sends) == 3


@pytest.mark.parametrize(
    ("budget", "reserved"), [(1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (49, 9), (50, 10), (55, 10), (100, 10)]
)
def test_both_lanes_together_compare_as_many_wrong_codes_as_the_phone_has_failures(
    redis_client: RedisClient, budget: int, reserved: int
) -> None:
    compared = {}
    for lifetime in (0, 90 * DAY):
        bench = Bench(
            redis_client,
            windows=(Window(1000, 60),),
            max_failures_per_phone=budget,
            max_failures_per_client=1000,
            device_lifetime=lifetime,
        )
        bench.run("FLUSHALL")
        for kind in (False, True)[: 1 + bench.policy.has_devices]:
            count = compared[lifetime, kind] = use_up(bench, device=kind)
            assert count == (bench.policy.device_failures if kind else bench.policy.common_failures)
    assert compared[0, False] == budget
    assert compared.get((90 * DAY, True), 0) == reserved
    assert compared[90 * DAY, False] + reserved == budget


def use_up(bench: Bench, *, device: bool) -> int:
    """Guess wrong until the budget of the lane is used up. How often a code was compared."""
    compared = 0
    while True:
        # A new code for each guess, so that no code's tries are the limit.
        bench.run("DEL", lane_of(bench, device=device).code)
        if device:
            # The windows of this lane cannot be set.
            bench.run("DEL", lane_of(bench, device=device).sends)
        who = caller(bench, device=device)
        try:
            issued = bench.issue(who)
        except TooManyAttempts:
            return compared
        guess(bench, wrong_for(bench, issued), who)
        compared += 1


def test_a_guess_is_compared_and_counted_in_the_lane_that_has_the_active_code(bench: Bench) -> None:
    common, own = bench.issue(), bench.issue(bench.device())
    before = lane_keys(bench, device=False)
    assert guess(bench, wrong_for(bench, common, own), bench.device()) == 2
    assert guess(bench, bench.code(common), bench.device()) == 1
    assert lane_keys(bench, device=False) == before
    assert bench.run("HGET", bench.keys().of_devices.tries, "failures").startswith(b"2:")
    # No client has a budget in this lane.
    assert not [f for f in bench.run("HKEYS", bench.keys().of_devices.tries) if b":" in f]
    bench.verify(own, bench.device())
    assert lane_keys(bench, device=False) == before


def test_a_device_without_an_active_code_in_its_lane_uses_the_common_lane(bench: Bench) -> None:
    common = bench.issue()
    assert guess(bench, wrong_for(bench, common), bench.device()) == 2
    assert bench.run("EXISTS", bench.keys().of_devices.tries) == 0
    assert bench.run("HGET", bench.keys().tries, "failures:home").startswith(b"1:")
    bench.verify(common, bench.device())


def test_a_device_whose_code_has_expired_or_was_used_goes_on_in_the_common_lane(bench: Bench) -> None:
    bench.verify(bench.issue(bench.device()), bench.device())
    bench.verify(bench.issue(), bench.device())
    bench.issue(bench.device())
    bench.advance(301)
    bench.verify(bench.issue(), bench.device())


def test_a_right_code_of_the_other_lane_is_wrong(bench: Bench) -> None:
    common, own = bench.issue(), bench.issue(bench.device())
    assert guess(bench, bench.code(own), bench.caller()) == 2
    assert guess(bench, bench.code(common), bench.device()) == 2


def test_an_exhausted_lane_stays_the_lane_of_its_code(bench: Bench) -> None:
    own = bench.issue(bench.device())
    common = bench.issue()
    while guess(bench, wrong_for(bench, own, common), bench.device()):
        pass
    for code in (own, common):
        with pytest.raises(TooManyAttempts) as error:
            bench.verify(code, bench.device())
        assert error.value.limit == "tries"
    # The client may continue without its token.
    bench.verify(common)


def test_a_login_clears_the_tries_of_its_own_lane_only(bench: Bench, device: bool) -> None:
    issued = {kind: bench.issue(caller(bench, device=kind)) for kind in (False, True)}
    for kind in issued:
        guess(bench, wrong_for(bench, *issued.values()), caller(bench, device=kind))
    bench.verify(issued[device], caller(bench, device=device))
    assert bench.run("HGET", lane_of(bench, device=device).tries, "tries") is None
    assert bench.run("HGET", lane_of(bench, device=not device).tries, "tries") == b"1"
    # The count of the phone stays in both.
    for kind in issued:
        assert bench.run("HGET", lane_of(bench, device=kind).tries, "failures").startswith(b"1:")


def test_strangers_who_use_up_everything_leave_the_device_lane_as_it_was(redis_client: RedisClient) -> None:
    bench = Bench(redis_client)
    bench.issue(bench.device())
    before = lane_keys(bench, device=True)
    strangers = [f"client-{n}" for n in range(10)]
    failures = 0
    while True:
        try:
            bench.issue(strangers[failures % 10])
            guess(bench, bench.wrong(), bench.caller(strangers[failures % 10]))
        except (TooManyAttempts, TooManyOtpRequests):
            break
        failures += 1
    assert lane_keys(bench, device=True) == before


def test_a_failed_send_leaves_both_lanes_as_they_were(bench: Bench, device: bool) -> None:
    for kind in (False, True):
        bench.issue(caller(bench, device=kind))
        guess(bench, bench.wrong(), bench.caller())
    bench.advance(200)
    before = bench.snapshot()
    bench.withdraw(bench.issue(caller(bench, device=device)))
    bench.assert_same(before)


def test_a_withdrawal_stays_in_the_lane_of_its_send_after_the_devices_are_forgotten(bench: Bench) -> None:
    own = bench.issue(bench.device())
    bench.run("SET", bench.keys().devices_since, bench.now(), "PX", 60_000)
    bench.withdraw(own, bench.device())
    assert bench.run("EXISTS", bench.keys().of_devices.code, bench.keys().of_devices.sends) == 0


def test_a_repeated_issue_of_a_device_answers_the_same_and_changes_nothing(bench: Bench) -> None:
    issued = bench.issue(bench.device())
    before = bench.snapshot()
    settle()
    for _ in range(3):
        tag, left, wait, lane, nonce, *_ = bench.replay()
        assert (tag, lane, nonce.decode()) == ("issued", 1, issued.nonce)
        assert (left, wait) == pytest.approx((issued.expires_in, issued.resend_in), abs=SLACK)
    bench.assert_same(before)


@pytest.mark.parametrize("key", [None, KEY], ids=["random id", "idempotency key"])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("lane", LANES.values(), ids=LANES)
def test_a_repeated_verify_of_a_device_finds_its_answer_whatever_happened_to_the_lane(
    bench: Bench, *, lane: bool, right: bool, key: str | None
) -> None:
    issued = bench.issue(caller(bench, device=lane))
    code = bench.code(issued) if right else wrong_for(bench, issued)
    try:
        bench.verify(code, bench.device(key=key))
    except InvalidCode:
        assert not right
    call, answer = bench.scripts.calls[-1], bench.replay()
    # Now the lane has an active code if it had none before, and no code if it had one.
    bench.run("DEL", lane_of(bench, device=lane).code)
    bench.issue(caller(bench, device=not lane))
    before = bench.snapshot()
    assert bench.replay(call) == answer
    bench.assert_same(before)


def test_one_key_is_another_request_in_each_lane(bench: Bench) -> None:
    issued = {kind: keyed_send(bench, caller(bench, device=kind, key=KEY)) for kind in (False, True)}
    assert isinstance(issued[False], Issued)
    assert isinstance(issued[True], Issued)
    for each in issued.values():
        assert isinstance(each, Issued)
        bench.store.finish(PHONE, each, sent=True)
    for kind in issued:
        assert isinstance(keyed_send(bench, caller(bench, device=kind, key=KEY)), Sent)
    assert bench.run("LLEN", bench.keys().sends) == bench.run("LLEN", bench.keys().of_devices.sends) == 1


def test_one_key_gives_one_login_in_each_lane(bench: Bench) -> None:
    sessions = []
    for kind in (False, True):
        who = caller(bench, device=kind, key=KEY)
        issued = bench.issue(caller(bench, device=kind))
        sessions += [bench.verify(issued, who), bench.verify(issued, who)]
        with pytest.raises(IdempotencyKeyReused):
            bench.verify(wrong_for(bench, issued), who)
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3]
    assert not {sessions[0].id, sessions[0].refresh_id, sessions[0].access_id} & {
        sessions[2].id,
        sessions[2].refresh_id,
        sessions[2].access_id,
    }


def keyed_send(bench: Bench, who: Caller) -> Issued | Sent:
    return bench.store.issue(SendRequest(PHONE), who, bench.codes.propose(PHONE))


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_reserved_thread_is_only_for_a_device(bench: Bench, *, forgotten: bool) -> None:
    who = bench.device()
    if forgotten:
        bench.run("SET", bench.keys().devices_since, bench.now(), "PX", 60_000)
        before = bench.snapshot()
        with pytest.raises(SmsBusy):
            bench.store.issue(SendRequest(PHONE), who, bench.codes.propose(PHONE), only_device=True)
        bench.assert_same(before)
    else:
        found = bench.store.issue(SendRequest(PHONE), who, bench.codes.propose(PHONE), only_device=True)
        assert isinstance(found, Issued)
        assert found.device


def test_a_late_call_of_a_device_does_nothing(bench: Bench) -> None:
    own = bench.issue(bench.device())
    before = bench.snapshot()
    late = replace(bench.device(), clock=bench.caller(read_ago=2).clock)
    for call in (bench.issue, lambda who: bench.verify(own, who)):
        with pytest.raises(StoreUnavailable):
            call(late)
    bench.assert_same(before)


def test_the_lane_of_another_phone_is_another_lane(bench: Bench) -> None:
    bench.issue(bench.device())
    before = lane_keys(bench, device=True)
    bench.issue(bench.device(), phone=OTHER_PHONE)
    assert lane_keys(bench, device=True) == before


def exhausted(bench: Bench) -> None:
    while guess(bench, wrong_for(bench), bench.device()):
        pass


def with_failures(bench: Bench) -> None:
    for _ in range(2):
        bench.issue(bench.device())
        exhausted(bench)
        bench.advance(120)


@pytest.mark.parametrize("story", [lambda _: None, exhausted, with_failures])
def test_wrong_codes_in_the_lane_are_answered_by_tries_and_budget_only(
    bench: Bench, story: Callable[[Bench], None]
) -> None:
    """In the lane, the same guesses get the same answers, with any code active in it."""
    bench.issue(bench.device())
    story(bench)
    answers: list[int | str] = []
    for code in ("111111", "222222", "333333", "444444"):
        try:
            answers.append(guess(bench, code, bench.device()))
        except TooManyAttempts as error:
            answers.append(error.limit)
    tries = bench.run("HGET", bench.keys().of_devices.tries, "tries")
    assert answers[-1] == "tries"
    assert tries == b"3"


@pytest.mark.parametrize("redis_client", ["redis"], indirect=True)
def test_a_stolen_token_gives_ten_guesses_and_ten_sends_a_day_and_no_more(redis_client: RedisClient) -> None:
    """For two days, an attacker with the token does everything that it allows, every ten minutes."""
    bench = Bench(redis_client)
    lane = bench.keys().of_devices
    guesses: list[int] = []
    sends: list[int] = []
    made_at = bench.now() - 60_000
    for minute in range(0, 2 * 24 * 60, 10):
        thief = bench.caller("thief", made_at=made_at)
        try:
            while True:
                bench.issue(thief)
                sends.append(minute)
        except (TooManyAttempts, TooManyOtpRequests):
            pass
        while bench.run("HEXISTS", lane.code, "digest"):
            nonce = bench.run("HGET", lane.code, "nonce").decode()
            right = bench.codes.derive(PHONE, nonce)
            try:
                guess(bench, "000000" if right != "000000" else "000001", thief)
            except TooManyAttempts:
                break
            guesses.append(minute)
        bench.advance(600)
        made_at -= 600_000
    day = 24 * 60
    for events in (guesses, sends):
        # The sends are exact in any 24 h; the failures are counted in fixed days, as those of the phone.
        assert sum(at < day for at in events) == 10
    assert len(guesses) == 20
    for at in sends:
        assert sum(at - day < other <= at for other in sends) <= 10
    # The owner's other lane did not change, and the owner signs in without a token.
    assert lane_keys(bench, device=False) == dict.fromkeys(lane_keys(bench, device=False))
    assert bench.verify(bench.issue("owner"), "owner")


def test_a_token_without_a_send_leaves_no_more_than_any_guess(bench: Bench) -> None:
    for _ in range(3):
        guess(bench, "000000", bench.device())
    _, ends = bench.snapshot()
    assert max(ends.values()) <= bench.now() + 300_000 + SLACK
    assert not bench.run("EXISTS", *(lane_keys(bench, device=True)))
    bench.advance(301)
    assert bench.snapshot()[0] == {}
