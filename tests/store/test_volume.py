"""The data that one request can leave in Redis are bounded, for any request and any limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from otp_gateway.errors import RateLimited
from otp_gateway.model import PhoneNumber, Window
from otp_gateway.store.connect import connect
from tests.store.bench import PHONE, Bench
from tests.support.redis_server import RedisServer

MOST_PER_ADDRESS = 4096
MOST_PER_SESSION = 1024
MOST_PER_UNSENT_PHONE = 500
LIMITS: dict[str, Sequence[Window]] = {
    "the default": (Window(5, 60),),
    "the largest exact one": (Window(100, 60),),
    "one in parts": (Window(1000, 60),),
    "exact and in parts": (Window(100, 60), Window(5000, 3600), Window(100_000, 86_400)),
    "a million": (Window(1_000_000, 60),),
}


@pytest.fixture
def bench(redis_server: RedisServer) -> Bench:
    """A real Redis: the embedded store does not report its memory."""
    bench = Bench(connect(redis_server.url))
    bench.run("FLUSHALL")
    bench.load()
    return bench


def used(bench: Bench, work: Callable[[], object]) -> int:
    """The growth of ``used_memory``."""
    before = bench.redis.info("memory")["used_memory"]
    work()
    return int(bench.redis.info("memory")["used_memory"] - before)


def test_a_guess_on_a_phone_that_was_sent_no_code_leaves_few_bytes_for_a_few_minutes(bench: Bench) -> None:
    def guess(first: int, last: int) -> None:
        for number in range(first, last):
            bench.fail("abcdefghijkl", phone=PhoneNumber(f"+98912{number:07d}"))

    # Redis's own tables grow by doubling, so a few phones come first.
    guess(0, 1000)
    assert used(bench, lambda: guess(1000, 4000)) / 3000 <= MOST_PER_UNSENT_PHONE
    for key in bench.run("KEYS", "*"):
        assert 0 < bench.run("PTTL", key) <= 600_000


def test_three_guesses_from_three_clients_leave_few_bytes_too(bench: Bench) -> None:
    phones = [PhoneNumber(f"+98912{number:07d}") for number in range(500)]

    def guess_all() -> None:
        for phone in phones:
            for client in ("abcdefghijkl", "mnopqrstuvwx", "yzabcdefghij"):
                bench.fail(client, phone=phone)

    grown = used(bench, guess_all)
    # The answers to calls expire after ten seconds. Only the hash remains.
    bench.run("DEL", *bench.run("KEYS", "*:call:*"))
    assert grown / len(phones) <= 3 * MOST_PER_UNSENT_PHONE
    assert max(bench.run("MEMORY", "USAGE", key) for key in bench.run("KEYS", "*")) <= MOST_PER_UNSENT_PHONE


@pytest.mark.parametrize("windows", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("networks", [("address",), ("site", "subnet")], ids=["IPv4", "IPv6"])
def test_an_address_takes_at_most_four_kilobytes_by_any_limit(
    bench: Bench, networks: tuple[str, ...], windows: Sequence[Window]
) -> None:
    for _ in range(1200):
        bench.admit(*networks, windows=windows)
    for key in bench.run("KEYS", "ip:*"):
        assert bench.run("MEMORY", "USAGE", key) <= MOST_PER_ADDRESS
        assert bench.run("ZCARD", key) <= 128


def test_a_session_takes_at_most_one_kilobyte_however_often_it_is_refreshed(bench: Bench) -> None:
    session = bench.verify(bench.issue())
    name = bench.keys().session(session.id)
    most = 0
    for _ in range(100):
        waits: list[int] = []
        try:
            session = bench.sessions.rotate(PHONE, session.id, session.refresh_id, bench.caller())
        except RateLimited as error:
            waits.append(error.retry_after)
        assert all(0 < wait <= 10_000 for wait in waits)
        bench.advance(sum(waits) / 1000)
        most = max(most, bench.run("MEMORY", "USAGE", name))
    assert most <= MOST_PER_SESSION


def test_a_ninth_refresh_within_ten_seconds_is_refused_and_costs_nothing(bench: Bench) -> None:
    session = bench.verify(bench.issue())
    for _ in range(8):
        session = bench.sessions.rotate(PHONE, session.id, session.refresh_id, bench.caller())
    before = bench.snapshot()
    with pytest.raises(RateLimited):
        bench.sessions.rotate(PHONE, session.id, session.refresh_id, bench.caller())
    bench.assert_same(before)
    # To wait as long as the error says is enough.
    bench.advance(10)
    assert bench.sessions.rotate(PHONE, session.id, session.refresh_id, bench.caller())


def test_a_large_window_never_admits_too_many_in_any_span(bench: Bench) -> None:
    window = Window(150, 1)
    admitted: list[int] = []
    ends = time.monotonic() + 4
    while time.monotonic() < ends:
        admission = bench.admit(windows=(window,))
        if admission.admitted:
            admitted.append(admission.clock.redis_ms)
    assert len(admitted) > 2 * window.limit
    for first, last in zip(admitted, admitted[window.limit :], strict=False):
        assert last - first >= 1000


def test_waiting_as_the_reply_says_is_enough_for_a_large_window(bench: Bench) -> None:
    window = Window(150, 1)
    for _ in range(5):
        while (admission := bench.admit(windows=(window,))).admitted:
            assert 0 <= admission.quotas[0].remaining < window.limit
        assert 0 < admission.retry_after <= 1200
        time.sleep(admission.retry_after / 1000 + 0.002)
        assert bench.admit(windows=(window,)).admitted


def test_a_repeated_request_is_counted_once_in_a_large_window(bench: Bench) -> None:
    bench.admit(windows=(Window(150, 60),))
    for _ in range(3):
        assert bench.replay()[2] == 1
    assert bench.admit(windows=(Window(150, 60),)).quotas[0].remaining == 148


def test_changed_limits_leave_no_old_parts_behind(bench: Bench) -> None:
    for _ in range(20):
        bench.admit(windows=(Window(5, 60), Window(1000, 3600)))
        bench.admit(windows=(Window(200, 60),))
    parts = [name for name in bench.run("ZRANGE", "ip:{net}:otp", 0, -1) if b"/" in name]
    assert all(name.startswith(b"0/") for name in parts)
