"""After five timeouts in a row a provider gets no send for some seconds, and then one."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from threading import Barrier, Event

import pytest

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed, StoreUnavailable, TooManyOtpRequests
from otp_gateway.senders.breaker import FAILURES, PAUSE_SECONDS, Breaker
from tests.api.support import Recorder, assert_problem, make_api

TIMEOUT = 10.0


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker(TIMEOUT, time)


def fail(breaker: Breaker, error: BaseException) -> None:
    with pytest.raises(type(error)), breaker.attempt() as attempt, attempt.call():
        raise error


def succeed(breaker: Breaker) -> None:
    with breaker.attempt() as attempt, attempt.call():
        pass


def assert_open(breaker: Breaker) -> None:
    with pytest.raises(SmsFailed) as error, breaker.attempt():
        raise AssertionError("the send was made")
    assert error.value.reason == "skipped"


def open_it(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        fail(breaker, SmsUnconfirmed("timeout"))
    assert_open(breaker)


def test_five_timeouts_in_a_row_open_it(breaker: Breaker) -> None:
    for _ in range(FAILURES - 1):
        fail(breaker, SmsUnconfirmed("timeout"))
    succeed(breaker)
    open_it(breaker)


@pytest.mark.parametrize("error", [SmsFailed("refused"), SmsUnconfirmed("dropped"), SmsFailed("unreachable")])
def test_a_failure_that_comes_at_once_does_not_open_it(breaker: Breaker, error: SendFailed) -> None:
    for _ in range(3 * FAILURES):
        fail(breaker, error)
    succeed(breaker)


def fail_late(breaker: Breaker, time: Time, error: SendFailed) -> None:
    with suppress(SendFailed), breaker.attempt() as attempt, attempt.call():
        time.now += TIMEOUT / 2
        raise error


@pytest.mark.parametrize(
    "error", [SmsFailed("unreachable"), SmsUnconfirmed("dropped"), SmsUnconfirmed("unreadable")]
)
def test_a_connection_or_a_reply_that_takes_all_its_time_is_a_timeout(
    breaker: Breaker, time: Time, error: SendFailed
) -> None:
    for _ in range(FAILURES):
        fail_late(breaker, time, error)
    assert_open(breaker)


def test_a_late_answer_with_a_code_is_an_answer(breaker: Breaker, time: Time) -> None:
    for _ in range(3 * FAILURES):
        fail_late(breaker, time, SmsFailed("code", provider_code=411))
    succeed(breaker)


def test_the_time_that_redis_takes_does_not_count(breaker: Breaker, time: Time) -> None:
    for _ in range(3 * FAILURES):
        with suppress(SmsFailed), breaker.attempt() as attempt:
            time.now += TIMEOUT
            with attempt.call():
                raise SmsFailed("unreachable")
    succeed(breaker)


def test_after_the_pause_one_probe_decides(breaker: Breaker, time: Time) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    with breaker.attempt() as probe, probe.call():
        assert_open(breaker)
    succeed(breaker)
    succeed(breaker)


def test_a_probe_that_times_out_opens_it_again(breaker: Breaker, time: Time) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    fail(breaker, SmsUnconfirmed("timeout"))
    assert_open(breaker)
    time.now += PAUSE_SECONDS
    succeed(breaker)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), StoreUnavailable("timeout")])
def test_a_probe_that_ends_without_a_result_lets_the_next_one_try(
    breaker: Breaker, time: Time, error: BaseException
) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    fail(breaker, error)
    fail(breaker, error)
    succeed(breaker)
    succeed(breaker)


@pytest.mark.parametrize("error", [None, StoreUnavailable("timeout"), TooManyOtpRequests(1)])
def test_a_probe_that_does_not_reach_the_provider_closes_nothing(
    breaker: Breaker, time: Time, error: Exception | None
) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    for _ in range(3):
        with suppress(StoreUnavailable, TooManyOtpRequests), breaker.attempt():
            if error:
                raise error
    # It is still open, with a place for one probe.
    with breaker.attempt() as probe:
        assert_open(breaker)
        with pytest.raises(SmsUnconfirmed), probe.call():
            raise SmsUnconfirmed("timeout")
    assert_open(breaker)


class Calls:
    """Calls that are in progress at the same time, and then time out."""

    def __init__(self, breaker: Breaker, number: int) -> None:
        self._open = [ExitStack() for _ in range(number)]
        for stack in self._open:
            attempt = stack.enter_context(breaker.attempt())
            stack.enter_context(attempt.call())

    def time_out(self, number: int) -> None:
        for _ in range(number):
            error = SmsUnconfirmed("timeout")
            assert not self._open.pop().__exit__(type(error), error, None)


def test_calls_that_were_in_progress_when_it_opened_do_not_make_the_pause_longer(
    breaker: Breaker, time: Time
) -> None:
    calls = Calls(breaker, 24)
    calls.time_out(FAILURES)
    for _ in range(19):
        time.now += PAUSE_SECONDS / 20
        calls.time_out(1)
        assert_open(breaker)
    time.now += PAUSE_SECONDS / 20
    succeed(breaker)


def test_calls_that_were_in_progress_before_a_success_do_not_open_it_again(
    breaker: Breaker, time: Time
) -> None:
    calls = Calls(breaker, 24)
    calls.time_out(FAILURES)
    time.now += PAUSE_SECONDS
    succeed(breaker)
    calls.time_out(19)
    succeed(breaker)


def test_of_fifty_sends_at_once_one_is_the_probe(breaker: Breaker, time: Time) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    together, done, outcomes = Barrier(50), Event(), Counter[str]()

    def send() -> None:
        together.wait()
        try:
            with breaker.attempt() as attempt, attempt.call():
                outcomes["sent"] += 1
                done.wait(10)
        except SmsFailed:
            outcomes["skipped"] += 1
            if outcomes["skipped"] == 49:
                done.set()

    with ThreadPoolExecutor(50) as pool:
        for _ in range(50):
            pool.submit(send)
    assert outcomes == {"sent": 1, "skipped": 49}


def test_a_skipped_send_is_502_calls_nothing_charges_nothing_and_the_log_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sender = Recorder(SmsUnconfirmed("timeout"))
    api = make_api(sender=sender)
    phones = [f"+98912345678{digit}" for digit in range(FAILURES + 1)]
    for phone in phones[:FAILURES]:
        assert api.send(phone).status_code == 504
    before = set(api.redis.scan_iter("otp:*"))
    sender.fault = None
    assert_problem(api.send(phones[FAILURES]), 502, "sms_failed", "Failed to send OTP")
    assert sender.sent == []
    assert set(api.redis.scan_iter("otp:*")) == before
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["error"], line["reason"], line["fault"]) == ("sms_failed", "skipped", "temporary")


def test_repeats_that_get_the_outcome_of_an_earlier_timeout_do_not_open_it() -> None:
    sender = Recorder(SmsUnconfirmed("timeout"))
    api = make_api(sender=sender)
    key = {"Idempotency-Key": "a-key-of-the-client-1"}
    for _ in range(2 * FAILURES):
        assert api.send("+989123456780", headers=key).status_code == 504
    sender.fault = None
    assert api.send("+989123456781").status_code == 200


def test_a_repeat_that_gets_the_outcome_of_an_earlier_success_does_not_close_it() -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    key = {"Idempotency-Key": "a-key-of-the-client-1"}
    assert api.send("+989123456780", headers=key).status_code == 200
    sender.fault = SmsUnconfirmed("timeout")
    for digit in range(1, FAILURES + 1):
        assert api.send(f"+98912345678{digit}").status_code == 504
    assert api.send("+989123456780", headers=key).status_code == 200
    assert api.send("+989123456789").status_code == 502
