"""Several backends in order of preference: which of them sends, with which code, and in how much time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from otp_gateway.errors import SKIPPED, SendFailed, SmsFailed, SmsNotConfigured, SmsUnconfirmed
from otp_gateway.messages import Message, Receipt
from otp_gateway.observer import Unobserved
from otp_gateway.senders.breaker import FAILURES
from otp_gateway.senders.failover import Failover
from tests.senders.support import message_to

TIMEOUT = 2.0
TEMPORARY = SmsFailed("refused", fault="temporary", provider_code=418)
WRONG_NUMBER = SmsFailed("refused", fault="caller", provider_code=411)
UNSURE = SmsUnconfirmed("timeout", fault="temporary")


class Fake:
    """A sender that raises ``error``, if there is one, after ``seconds``."""

    configured = True

    def __init__(self, error: SendFailed | None = None, seconds: float = 0) -> None:
        self.error = error
        self.seconds = seconds
        self.sent: list[Message] = []
        self.given: list[float] = []

    def send(self, message: Message, deadline: float) -> Receipt | None:
        self.given.append(deadline - time.monotonic())
        self.sent.append(message)
        time.sleep(min(self.seconds, max(0.0, deadline - time.monotonic())))
        if self.error:
            raise type(self.error)(
                self.error.reason, fault=self.error.fault, provider_code=self.error.provider_code
            )
        return None


class Counting(Unobserved):
    def __init__(self) -> None:
        self.attempts: list[tuple[str, str]] = []

    def sms_attempt(self, backend: str, outcome: str) -> None:
        self.attempts.append((backend, outcome))


def deliver(*senders: Fake, observer: Counting | None = None, timeout: float = TIMEOUT) -> Receipt:
    failover = Failover(dict(zip("abc", senders, strict=False)), timeout, observer or Counting())
    with failover.delivery() as delivery:
        return delivery.send(message_to())


def failing(call: Callable[[], object]) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        call()
    return caught.value


def test_the_first_backend_sends_if_it_can() -> None:
    first, second, observer = Fake(), Fake(), Counting()
    assert deliver(first, second, observer=observer) == Receipt("a", attempts=1)
    assert (len(first.sent), second.sent, observer.attempts) == (1, [], [("a", "sent")])


@pytest.mark.parametrize(("error", "attempts"), [(TEMPORARY, 1), (UNSURE, 2)])
def test_the_next_backend_sends_the_same_message(error: SendFailed, attempts: int) -> None:
    first, second = Fake(error), Fake()
    assert deliver(first, second) == Receipt("b", attempts=attempts)
    assert first.sent == second.sent


def test_a_fault_of_the_caller_ends_it_at_once() -> None:
    first, second = Fake(WRONG_NUMBER), Fake()
    error = failing(lambda: deliver(first, second))
    assert (error.definite, error.fault, error.backend, error.attempts) == (True, "caller", "a", 0)
    assert second.sent == []


@pytest.mark.parametrize(
    ("errors", "kind", "attempts"),
    [
        ((TEMPORARY, TEMPORARY), SmsFailed, 0),
        ((UNSURE, TEMPORARY), SmsUnconfirmed, 1),
        ((TEMPORARY, UNSURE), SmsUnconfirmed, 1),
        ((UNSURE, UNSURE), SmsUnconfirmed, 2),
        ((UNSURE, WRONG_NUMBER), SmsUnconfirmed, 1),
        ((TEMPORARY, TEMPORARY, UNSURE), SmsUnconfirmed, 1),
    ],
)
def test_nothing_is_definitely_unsent_if_one_attempt_may_have_gone_out(
    errors: tuple[SendFailed, ...], kind: type[SendFailed], attempts: int
) -> None:
    error = failing(lambda: deliver(*map(Fake, errors)))
    assert (type(error), error.attempts) == (kind, attempts)


def test_a_backend_that_is_not_the_last_gets_half_of_the_time_left() -> None:
    first, second, third = Fake(UNSURE, TIMEOUT), Fake(UNSURE, TIMEOUT), Fake(UNSURE, TIMEOUT)
    began = time.monotonic()
    failing(lambda: deliver(first, second, third))
    spent = time.monotonic() - began
    # Ratios: each gets half of the remaining time, and the last one all of it.
    (a,), (b,), (c,) = first.given, second.given, third.given
    assert a <= TIMEOUT / 2
    assert b <= (TIMEOUT - a) / 2 + 0.01
    assert c <= TIMEOUT - a - b + 0.01
    assert c > b * 0.5
    assert spent >= TIMEOUT * 0.95


def test_an_unsure_backend_that_used_all_time_is_the_last_one() -> None:
    class Late(Fake):
        def send(self, message: Message, deadline: float) -> Receipt | None:
            time.sleep(TIMEOUT / 4 + 0.05)
            return super().send(message, deadline)

    first, second = Late(UNSURE), Fake()
    error = failing(lambda: deliver(first, second, timeout=TIMEOUT / 4))
    assert (type(error), second.sent) == (SmsUnconfirmed, [])


def test_a_backend_that_times_out_again_and_again_is_skipped_and_then_tried_once_more() -> None:
    first, second = Fake(UNSURE), Fake()
    failover = Failover({"a": first, "b": second}, TIMEOUT)

    def send() -> Receipt:
        with failover.delivery() as delivery:
            return delivery.send(message_to())

    for _ in range(FAILURES):
        send()
    assert send() == Receipt("b", attempts=1)
    assert (len(first.sent), len(second.sent)) == (FAILURES, FAILURES + 1)
    failover._backends[0].breaker._open_until = 0.0
    first.error = None
    assert send() == Receipt("a", attempts=1)
    assert send() == Receipt("a", attempts=1)


def test_if_every_backend_is_skipped_no_call_is_made_and_the_answer_comes_at_once() -> None:
    first, second = Fake(UNSURE), Fake(UNSURE)
    failover = Failover({"a": first, "b": second}, TIMEOUT)
    for _ in range(FAILURES):
        with failover.delivery() as delivery, pytest.raises(SmsUnconfirmed):
            delivery.send(message_to())
    with pytest.raises(SmsFailed) as caught, failover.delivery():
        raise AssertionError
    assert caught.value.reason == SKIPPED
    assert len(first.sent) == len(second.sent) == FAILURES


def test_a_backend_without_its_variables_is_left_out() -> None:
    class Unset(Fake):
        configured = False

    second = Fake()
    assert deliver(Unset(), second).backend == "b"
    assert not Failover({"a": Unset()}, TIMEOUT).configured
    with pytest.raises(SmsNotConfigured):
        deliver(Unset(), Unset())
