"""An operator's action on a phone applies to both lanes, and an undo restores both."""

from __future__ import annotations

import pytest

from otp_gateway.errors import InvalidCode, TooManyAttempts, TooManyOtpRequests
from otp_gateway.store.operator_actions import OperatorActions
from otp_gateway.store.phone_state import PhoneStateStore
from tests.store.bench import DAY, PHONE, Bench, settle


@pytest.fixture
def actions(bench: Bench) -> OperatorActions:
    return OperatorActions(bench.redis, bench.scripts, bench.policy)


def pid(bench: Bench) -> str:
    return bench.codes.pid(PHONE)


def exhaust(bench: Bench) -> None:
    """Use up the tries of both lanes."""
    own, common = bench.issue(bench.device()), bench.issue()
    codes = {bench.code(own), bench.code(common)}
    wrong = next(code for code in ("000000", "000001", "000002") if code not in codes)
    for who in (bench.device, bench.caller):
        for _ in range(3):
            with pytest.raises(InvalidCode):
                bench.verify(wrong, who())
        with pytest.raises(TooManyAttempts):
            bench.verify(wrong, who())


@pytest.mark.parametrize("lanes", ["common", "device", "both"])
def test_forgotten_devices_use_the_common_lane_at_once(
    bench: Bench, actions: OperatorActions, lanes: str
) -> None:
    who = bench.device()
    if lanes != "device":
        bench.issue()
    if lanes != "common":
        bench.issue(who)
    actions.forget_devices([pid(bench)])
    assert not bench.issue(who).device
    settle()
    # A later login gives a token that is valid.
    assert bench.issue(bench.caller(made_at=bench.now())).device


def test_forgotten_devices_stay_forgotten_for_the_longest_lifetime_of_a_token(
    bench: Bench, actions: OperatorActions
) -> None:
    made_at = bench.now() - 1_000
    actions.forget_devices([pid(bench)])
    assert bench.run("PTTL", bench.keys().devices_since) == pytest.approx(400 * DAY * 1000, abs=5_000)
    bench.advance(399 * DAY)
    made_at -= 399 * DAY * 1000
    assert not bench.issue(bench.caller(made_at=made_at)).device


def test_devices_are_forgotten_again_for_the_later_time(bench: Bench, actions: OperatorActions) -> None:
    actions.forget_devices([pid(bench)])
    settle()
    between = bench.now()
    settle()
    assert bench.issue(bench.caller(made_at=between)).device
    actions.forget_devices([pid(bench)])
    assert not bench.issue(bench.caller(made_at=between)).device


def test_forgetting_the_devices_changes_nothing_else(bench: Bench, actions: OperatorActions) -> None:
    bench.issue()
    bench.issue(bench.device())
    before = bench.snapshot()
    actions.forget_devices([pid(bench)])
    bench.run("DEL", bench.keys().devices_since)
    bench.assert_same(before)


def test_an_unlock_gives_both_lanes_their_tries_back_and_can_be_undone(
    bench: Bench, actions: OperatorActions
) -> None:
    exhaust(bench)
    before = bench.snapshot()
    undo = actions.unlock(pid(bench))
    assert undo
    assert not bench.run("EXISTS", bench.keys().tries, bench.keys().of_devices.tries)
    assert actions.undo(pid(bench), undo)
    bench.assert_same(before)


@pytest.mark.parametrize("device", [True, False])
def test_an_action_works_if_only_one_lane_has_data(
    bench: Bench, actions: OperatorActions, *, device: bool
) -> None:
    issued = bench.issue(bench.device() if device else bench.caller())
    before = bench.snapshot()
    assert actions.unlock(pid(bench)) is None
    undo = actions.void(pid(bench))
    assert undo
    assert not bench.run("EXISTS", bench.keys().code, bench.keys().of_devices.code)
    assert actions.undo(pid(bench), undo)
    bench.assert_same(before)
    assert bench.verify(issued, bench.device())
    assert actions.undo(pid(bench), undo) is False


def test_an_undo_puts_back_the_lane_that_has_nothing_newer(bench: Bench, actions: OperatorActions) -> None:
    common, own = bench.issue(), bench.issue(bench.device())
    undo = actions.void(pid(bench))
    assert undo
    newer = bench.issue()
    assert actions.undo(pid(bench), undo)
    assert bench.verify(own, bench.device())
    assert newer.nonce != common.nonce
    assert bench.verify(newer)


def test_the_send_windows_of_both_lanes_are_cleared(bench: Bench, actions: OperatorActions) -> None:
    for who in (bench.device, bench.caller):
        for _ in range(3):
            bench.issue(who())
        with pytest.raises(TooManyOtpRequests):
            bench.issue(who())
    assert actions.clear_sends(pid(bench))
    for who in (bench.device, bench.caller):
        bench.issue(who())
    bench.snapshot()


def test_the_state_of_a_phone_shows_the_device_lane_if_it_holds_data(bench: Bench) -> None:
    states = PhoneStateStore(bench.redis, bench.policy)
    bench.issue()
    assert states.phone([pid(bench)]).device is None
    bench.run("FLUSHALL")

    issued = bench.issue(bench.device())
    state = states.phone([pid(bench)])
    assert state.state == "idle"
    assert state.masked == PHONE.masked
    lane = state.device
    assert lane
    assert (lane.state, lane.nonce, lane.tries) == ("active", issued.nonce, 0)
    assert [use.used for use in lane.windows] == [1, 1, 1]
    assert [use.window.limit for use in lane.windows] == [3, 5, 10]
    assert (lane.failures.failures, lane.failures.most) == (0, 10)
    assert (state.failures.most, state.windows[0].used) == (40, 0)

    exhaust(bench)
    lane = states.phone([pid(bench)]).device
    assert lane
    assert (lane.state, lane.tries, lane.failures.failures, lane.clients) == ("exhausted", 3, 3, ())
