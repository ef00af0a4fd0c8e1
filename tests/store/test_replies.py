"""Lost replies, stuck commands, and a Redis that is paused, stopped or full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Timer

import pytest

from otp_gateway.errors import InvalidCode, StoreUnavailable
from otp_gateway.model import Caller, Issued
from otp_gateway.store import connect
from tests.store.bench import Bench
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, wait_until

# By the contract, the rate limiter and one transition take at most 3 s together.
CALL_TIMEOUT = 3


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def bench(proxy: RedisProxy, redis_server: RedisServer) -> Bench:
    """A store behind the proxy that loses replies. The test itself connects to Redis directly."""
    bench = Bench(connect(proxy.url), connect(redis_server.url))
    bench.run("FLUSHALL")
    bench.load()
    return bench


@dataclass
class Call:
    """One call of the store, the calls before it, and a check that it had its effect exactly once."""

    prepare: Callable[[Bench], Issued | None]
    run: Callable[[Bench, Caller, Issued | None], object]
    effect: Callable[[Bench, object], bool]


def keys(bench: Bench, what: str) -> int:
    return len(bench.run("KEYS", f"*:{what}"))


def admitted(bench: Bench, _: object) -> bool:
    return bench.admit().quotas[0].remaining == 3


def charged(bench: Bench, outcome: object) -> bool:
    assert isinstance(outcome, Issued)
    (entry,) = bench.run("LRANGE", bench.keys().sends, 0, -1)
    return outcome.nonce.encode() in entry and bool(bench.verify(outcome))


def logged_in(bench: Bench, _: object) -> bool:
    # Only the panel's state of the code is left. The code itself and its digest are deleted.
    left = bench.run("HGETALL", bench.keys().code)
    return keys(bench, "session:*") == 1 and left == {b"phone": b"+98912***6789", b"verified": b"1"}


def counted(bench: Bench, outcome: object) -> bool:
    return outcome == 2 and bench.fail() == 1


def taken_back(bench: Bench, _: object) -> bool:
    return bench.snapshot() == ({}, {})


def guess_wrong(bench: Bench, caller: Caller, _: object) -> int:
    try:
        bench.verify(bench.wrong(), caller)
    except InvalidCode as error:
        return error.attempts_remaining
    raise AssertionError("a wrong code passed")


def issue(bench: Bench, caller: Caller, _: object) -> Issued:
    return bench.issue(caller)


def guess_right(bench: Bench, caller: Caller, issued: Issued | None) -> object:
    assert issued
    return bench.verify(issued, caller)


def withdraw(bench: Bench, caller: Caller, issued: Issued | None) -> None:
    assert issued
    bench.withdraw(issued, caller)


def as_device(bench: Bench, caller: Caller) -> Caller:
    return replace(caller, device_made_at=bench.now() - 60_000)


def issue_in_lane(bench: Bench) -> Issued:
    return bench.issue(bench.device())


def charged_in_lane(bench: Bench, outcome: object) -> bool:
    assert isinstance(outcome, Issued)
    (entry,) = bench.run("LRANGE", bench.keys().of_devices.sends, 0, -1)
    assert not bench.run("EXISTS", bench.keys().sends)
    return outcome.nonce.encode() in entry and bool(bench.verify(outcome, bench.device()))


def guess_wrong_as_device(bench: Bench, caller: Caller, issued: Issued | None) -> int:
    assert issued
    code = "000000" if bench.code(issued) != "000000" else "000001"
    try:
        bench.verify(code, as_device(bench, caller))
    except InvalidCode as error:
        return error.attempts_remaining
    raise AssertionError("a wrong code passed")


def guess_right_as_device(bench: Bench, caller: Caller, issued: Issued | None) -> object:
    return guess_right(bench, as_device(bench, caller), issued)


def counted_in_lane(bench: Bench, outcome: object) -> bool:
    assert bench.run("HGET", bench.keys().of_devices.tries, "tries") == b"1"
    return outcome == 2 and not bench.run("EXISTS", bench.keys().tries)


def one_session(bench: Bench, _: object) -> bool:
    return keys(bench, "session:*") == 1 and keys(bench, "tries") == 0


CALLS = {
    "admit": Call(lambda _: None, lambda bench, *_: bench.admit(), admitted),
    "issue": Call(lambda _: None, issue, charged),
    "verify right": Call(Bench.issue, guess_right, logged_in),
    "verify wrong": Call(Bench.issue, guess_wrong, counted),
    "withdraw": Call(Bench.issue, withdraw, taken_back),
    "issue, device": Call(
        lambda _: None, lambda bench, caller, _: bench.issue(as_device(bench, caller)), charged_in_lane
    ),
    "verify right, device": Call(issue_in_lane, guess_right_as_device, one_session),
    "verify right, device, common lane": Call(Bench.issue, guess_right_as_device, one_session),
    "verify wrong, device": Call(issue_in_lane, guess_wrong_as_device, counted_in_lane),
    "withdraw, device": Call(issue_in_lane, withdraw, taken_back),
}

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.mark.parametrize("losses", [1, 2, 3])
@each_call
def test_replies_lost_in_a_row_cost_nothing(bench: Bench, proxy: RedisProxy, call: Call, losses: int) -> None:
    issued = call.prepare(bench)
    proxy.drop_replies(losses, b"EVALSHA")
    outcome = call.run(bench, bench.caller(), issued)
    assert proxy.dropped == losses
    assert call.effect(bench, outcome)


@each_call
def test_requests_lost_on_their_way_are_sent_again(bench: Bench, proxy: RedisProxy, call: Call) -> None:
    issued = call.prepare(bench)
    proxy.drop_requests(2, b"EVALSHA")
    outcome = call.run(bench, bench.caller(), issued)
    assert proxy.dropped == 2
    assert call.effect(bench, outcome)


@each_call
def test_a_reply_lost_after_redis_forgot_the_scripts_costs_nothing(
    bench: Bench, proxy: RedisProxy, call: Call
) -> None:
    issued = call.prepare(bench)
    bench.run("SCRIPT FLUSH")
    proxy.drop_replies(1, b"EVAL\r\n")
    outcome = call.run(bench, bench.caller(), issued)
    assert proxy.dropped == 1
    assert call.effect(bench, outcome)


def test_a_lost_attempt_that_comes_behind_the_withdrawal_of_its_send_does_nothing(
    bench: Bench, proxy: RedisProxy
) -> None:
    before = bench.snapshot()
    proxy.drop_requests(1, b"EVALSHA")
    issued = bench.issue()
    lost = bench.scripts.calls[-1]
    bench.withdraw(issued)
    assert bench.replay(lost)[0] == "late"
    bench.assert_same(before)


@contextmanager
def unavailable() -> Iterator[None]:
    """The block ends with ``StoreUnavailable``, in time."""
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        yield
    assert time.monotonic() - start < CALL_TIMEOUT


def assert_unavailable(*requests: Callable[[], object]) -> None:
    """Make all calls at once, to save time. Each must raise ``StoreUnavailable``."""

    def run(request: Callable[[], object]) -> None:
        with unavailable():
            request()

    with ThreadPoolExecutor(len(requests)) as pool:
        list(pool.map(run, requests))


def scripts_run(bench: Bench) -> int:
    stats = bench.redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


@each_call
def test_a_command_that_arrives_after_its_call_gave_up_changes_nothing(
    bench: Bench, proxy: RedisProxy, call: Call
) -> None:
    issued = call.prepare(bench)
    caller = bench.caller()
    before, run = bench.snapshot(), scripts_run(bench)
    proxy.hold(b"EVALSHA")
    with unavailable():
        call.run(bench, caller, issued)
    held = proxy.held
    assert held
    proxy.release()
    wait_until(lambda: scripts_run(bench) == run + held, "the held commands")
    bench.assert_same(before)


@each_call
def test_a_command_held_up_that_arrives_together_with_its_repetition_counts_once(
    bench: Bench, proxy: RedisProxy, call: Call
) -> None:
    issued = call.prepare(bench)
    run = scripts_run(bench)
    # The first attempt ends after half a second without a reply; the second one's reply comes at once.
    proxy.delay(5, b"EVALSHA", 1)
    outcome = call.run(bench, bench.caller(), issued)
    assert scripts_run(bench) == run + 2
    assert call.effect(bench, outcome)


def test_no_call_is_slower_than_the_contract_allows_when_redis_answers_slowly(
    bench: Bench, proxy: RedisProxy
) -> None:
    caller = bench.caller()
    proxy.delay(5, b"EVALSHA")
    assert_unavailable(bench.admit, lambda: bench.issue(caller))


def _after(seconds: float, action: Callable[[], None]) -> Timer:
    timer = Timer(seconds, action)
    timer.start()
    return timer


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def assert_all_works(bench: Bench) -> None:
    assert bench.admit().admitted
    issued = bench.issue()
    bench.fail()
    bench.verify(issued)
    bench.withdraw(bench.issue())


def test_a_paused_redis_is_unavailable_and_what_it_works_off_later_changes_nothing(
    own_server: RedisServer,
) -> None:
    bench = Bench(connect(own_server.url))
    issued = bench.issue()
    caller, code = bench.caller(), bench.code(issued)
    before = bench.snapshot()
    own_server.pause()
    try:
        assert_unavailable(
            lambda: bench.issue(caller),
            lambda: bench.verify(code, caller),
            lambda: bench.verify("000000", caller),
            lambda: bench.withdraw(issued, caller),
            bench.scripts.ping,
            bench.load,
        )
    finally:
        own_server.resume()
    bench.assert_same(before)
    assert_all_works(bench)


def test_a_killed_redis_is_unavailable_until_it_is_back(own_server: RedisServer) -> None:
    bench = Bench(connect(own_server.url))
    issued, caller = bench.issue(), bench.caller()
    code = bench.code(issued)
    own_server.kill()
    assert_unavailable(
        bench.admit,
        lambda: bench.issue(caller),
        lambda: bench.verify(code, caller),
        lambda: bench.withdraw(issued, caller),
        bench.scripts.ping,
        bench.load,
    )
    own_server.start()
    bench.scripts.ping()
    assert_all_works(bench)


def test_a_redis_that_restarts_meanwhile_costs_no_request(own_server: RedisServer) -> None:
    bench = Bench(connect(own_server.url))
    bench.admit()
    caller = bench.caller()
    own_server.kill()
    timer = _after(0.1, own_server.start)
    try:
        assert bench.issue(caller)
    finally:
        timer.join()


@pytest.mark.parametrize("cut", ["memory", "replica"])
def test_a_redis_that_refuses_writes_is_unavailable_and_nothing_of_a_call_is_done(
    own_server: RedisServer, cut: str
) -> None:
    bench = Bench(connect(own_server.url))
    bench.admit()
    bench.fail("stranger")
    issued = bench.issue()
    caller = bench.caller()
    bench.advance(200)
    code, wrong, before = bench.code(issued), bench.wrong(), bench.snapshot()
    _refuse_writes(bench, cut)
    for _ in range(2):
        for run in (
            bench.admit,
            lambda: bench.issue(caller),
            lambda: bench.verify(code, caller),
            lambda: bench.verify(wrong, caller),
        ):
            with unavailable():
                run()
    bench.assert_same(before)
    _accept_writes(bench)
    assert_all_works(bench)


@pytest.mark.parametrize("cut", ["memory", "replica"])
@pytest.mark.parametrize("age", [10, 200])
def test_a_withdrawal_that_redis_refuses_is_done_wholly_or_not_at_all(
    own_server: RedisServer, cut: str, age: int
) -> None:
    bench = Bench(connect(own_server.url))
    first = bench.issue()
    bench.fail("stranger")
    bench.advance(age)
    before = bench.snapshot()
    issued = bench.issue()
    caller, charged = bench.caller(), bench.snapshot()
    _refuse_writes(bench, cut)
    try:
        bench.withdraw(issued, caller)
    except StoreUnavailable:
        _accept_writes(bench)
        bench.assert_same(charged)
    else:
        _accept_writes(bench)
        bench.assert_same(before)
        bench.verify(first)


def _refuse_writes(bench: Bench, cut: str) -> None:
    if cut == "memory":
        bench.redis.config_set("maxmemory", "1kb")
    else:
        # It has no master any more, and stays a read-only replica.
        bench.run("REPLICAOF", "127.0.0.1", 1)


def _accept_writes(bench: Bench) -> None:
    bench.redis.config_set("maxmemory", "0")
    bench.run("REPLICAOF", "NO", "ONE")


def test_redis_that_forgot_the_scripts_is_told_them_again(bench: Bench) -> None:
    for _ in range(2):
        bench.run("SCRIPT FLUSH")
        assert_all_works(bench)
        bench.run("FLUSHALL")


def test_a_loaded_script_costs_one_round_trip(bench: Bench, proxy: RedisProxy) -> None:
    bench.scripts.ping()
    proxy.reset()
    bench.issue()
    assert proxy.seen() == 1
