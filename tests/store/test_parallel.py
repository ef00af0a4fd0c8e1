"""Requests in parallel: one login, three tries, three sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from otp_gateway.errors import GatewayError
from otp_gateway.model import Window
from otp_gateway.store.client import RedisClient
from tests.store.bench import Bench


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> int:
    """How many requests at once; the embedded store is for a laptop."""
    return 20 if "embedded" in request.node.callspec.params.values() else 100


def in_parallel(threads: int, request: Callable[[int], object]) -> Counter[str]:
    """The outcomes of so many requests that start at the same moment, counted by type."""
    start = Barrier(threads)

    def run(n: int) -> str:
        start.wait()
        try:
            return type(request(n)).__name__
        except GatewayError as error:
            return type(error).__name__

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(run, range(threads)))


def test_of_many_right_codes_one_logs_in(bench: Bench, threads: int) -> None:
    code, caller = bench.code(bench.issue()), bench.caller()
    outcomes = in_parallel(threads, lambda _: bench.verify(code, caller))
    # A guess after the login meets no active code, and three such guesses are allowed.
    assert outcomes == {"Session": 1, "InvalidCode": 3, "TooManyAttempts": threads - 4}
    assert bench.run("ZCARD", bench.keys().sessions) == 1
    assert len(bench.run("KEYS", "*:session:*")) == 1
    bench.snapshot()


def test_of_many_wrong_codes_three_are_compared(bench: Bench, threads: int) -> None:
    bench.issue()
    wrong = bench.wrong()
    callers = [bench.caller(f"client-{n}") for n in range(threads)]
    outcomes = in_parallel(threads, lambda n: bench.verify(wrong, callers[n]))
    assert outcomes == {"InvalidCode": 3, "TooManyAttempts": threads - 3}
    assert bench.run("HGET", bench.keys().tries, "failures").startswith(b"3:")


def test_among_many_wrong_codes_a_right_one_wins_at_most_once(bench: Bench, threads: int) -> None:
    issued, caller = bench.issue(), bench.caller()
    right, wrong = bench.code(issued), bench.wrong()
    outcomes = in_parallel(threads, lambda n: bench.verify(wrong if n % 4 else right, caller))
    assert outcomes["Session"] <= 1
    # A login restores the tries, once.
    assert outcomes["InvalidCode"] <= 3 + 2 * outcomes["Session"]
    assert outcomes.total() == threads


def test_of_many_sends_three_are_charged_and_carry_one_code(bench: Bench, threads: int) -> None:
    caller = bench.caller()
    outcomes = in_parallel(threads, lambda _: bench.issue(caller))
    assert outcomes == {"Issued": 3, "TooManyOtpRequests": threads - 3}
    entries = bench.run("LRANGE", bench.keys().sends, 0, -1)
    assert len(entries) == 3


def test_of_many_requests_of_an_address_five_are_admitted(bench: Bench, threads: int) -> None:
    admitted: list[bool] = []
    in_parallel(threads, lambda _: admitted.append(bench.admit().admitted))
    assert Counter(admitted) == {True: 5, False: threads - 5}


def test_parallel_failed_sends_leave_nothing_behind(redis_client: RedisClient, threads: int) -> None:
    bench = Bench(redis_client, windows=(Window(1000, 60),))
    first = bench.issue()
    bench.advance(200)
    before, caller = bench.snapshot(), bench.caller()
    outcomes = in_parallel(threads, lambda _: bench.withdraw(bench.issue(caller), caller))
    assert outcomes == {"NoneType": threads}
    bench.assert_same(before)
    bench.verify(first)


def test_parallel_guesses_never_spend_more_than_the_phones_budget(
    redis_client: RedisClient, threads: int
) -> None:
    # One of the eight is reserved for devices.
    bench = Bench(redis_client, max_attempts=1000, max_failures_per_client=1000, max_failures_per_phone=8)
    bench.issue()
    wrong = bench.wrong()
    callers = [bench.caller(f"client-{n}") for n in range(threads)]
    outcomes = in_parallel(threads, lambda n: bench.verify(wrong, callers[n]))
    assert outcomes == {"InvalidCode": 7, "TooManyAttempts": threads - 7}
