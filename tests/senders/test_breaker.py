"""After five timeouts in a row a provider gets no send for some seconds, and then one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed, StoreUnavailable
from otp_gateway.senders.breaker import FAILURES, PAUSE_SECONDS, Breaker
from tests.api.support import Recorder, make_api

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
    with pytest.raises(type(error)), breaker.attempt():
        raise error


def succeed(breaker: Breaker) -> None:
    with breaker.attempt():
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
def test_an_answer_of_any_kind_does_not_open_it(breaker: Breaker, error: SendFailed) -> None:
    for _ in range(3 * FAILURES):
        fail(breaker, error)
    succeed(breaker)


def slow_failure(time: Time) -> SmsFailed:
    time.now += TIMEOUT / 2
    return SmsFailed("unreachable")


def test_a_connection_that_takes_all_its_time_is_a_timeout(breaker: Breaker, time: Time) -> None:
    for _ in range(FAILURES):
        with pytest.raises(SmsFailed), breaker.attempt():
            raise slow_failure(time)
    assert_open(breaker)


def test_after_the_pause_one_probe_decides(breaker: Breaker, time: Time) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    with breaker.attempt():
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


def test_of_fifty_sends_at_once_one_is_the_probe(breaker: Breaker, time: Time) -> None:
    open_it(breaker)
    time.now += PAUSE_SECONDS
    together, done, outcomes = Barrier(50), Event(), Counter[str]()

    def send() -> None:
        together.wait()
        try:
            with breaker.attempt():
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


def test_a_skipped_send_is_502_and_charges_nothing() -> None:
    sender = Recorder(SmsUnconfirmed("timeout"))
    api = make_api(sender=sender)
    phones = [f"+98912345678{digit}" for digit in range(FAILURES + 1)]
    for phone in phones[:FAILURES]:
        assert api.send(phone).status_code == 504
    before = set(api.redis.scan_iter("otp:*"))
    reply = api.send(phones[FAILURES])
    assert reply.status_code == 502
    assert reply.json
    assert reply.json["code"] == "sms_failed"
    assert set(api.redis.scan_iter("otp:*")) == before
