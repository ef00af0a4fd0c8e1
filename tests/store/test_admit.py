"""The rate limiter: windows of an IP address, exact and sliding."""

from __future__ import annotations

import pytest

from otp_gateway.model import Window
from tests.store.bench import SLACK, Bench, settle

EDGE = 0.4


def test_five_requests_fit_in_any_minute_and_the_wait_is_enough_and_no_longer_than_needed(
    bench: Bench,
) -> None:
    for n in range(5):
        admission = bench.admit()
        (quota,) = admission.quotas
        assert admission.admitted
        assert quota.remaining == 4 - n
        assert quota.reset == pytest.approx(60_000 - 10_000 * n, abs=10 * SLACK)
        assert admission.retry_after == (0 if n < 4 else quota.reset)
        bench.advance(10)
    refused = bench.admit()
    assert not refused.admitted
    assert refused.quotas[0].remaining == 0
    assert refused.retry_after == refused.quotas[0].reset == pytest.approx(10_000, abs=10 * SLACK)

    bench.advance(refused.retry_after / 1000 - EDGE)
    refused = bench.admit()
    assert not refused.admitted
    assert 0 < refused.retry_after <= 1000 * EDGE
    bench.advance(refused.retry_after / 1000)
    assert bench.admit().admitted
    assert bench.admit().retry_after == pytest.approx(10_000, abs=10 * SLACK)


def test_a_refused_request_is_not_recorded(bench: Bench) -> None:
    for _ in range(5):
        bench.admit()
    before = bench.snapshot()
    settle()
    for _ in range(10):
        assert not bench.admit().admitted
    bench.assert_same(before)


def test_an_admission_tells_redis_time(bench: Bench) -> None:
    assert bench.admit().clock.redis_ms == pytest.approx(bench.now(), abs=SLACK)


def test_endpoints_and_networks_are_counted_apart(bench: Bench) -> None:
    for _ in range(5):
        for network in ("a", "b"):
            for endpoint in ("otp", "verify"):
                assert bench.admit(network, endpoint=endpoint).admitted
    for network in ("a", "b"):
        for endpoint in ("otp", "verify"):
            assert not bench.admit(network, endpoint=endpoint).admitted


def test_several_windows_all_hold_and_the_longest_wait_counts(bench: Bench) -> None:
    windows = (Window(2, 10), Window(3, 100))
    for gap, admitted in ((0, True), (0, True), (4, False), (6, True), (0, False)):
        bench.advance(gap)
        admission = bench.admit(windows=windows)
        assert admission.admitted == admitted
    assert [quota.remaining for quota in admission.quotas] == [1, 0]
    assert admission.retry_after == pytest.approx(90_000, abs=10 * SLACK)
    bench.advance(admission.retry_after / 1000)
    assert bench.admit(windows=windows).admitted


def test_a_site_counts_as_ten_of_its_subnets(bench: Bench) -> None:
    for subnet in range(10):
        for n in range(5):
            admission = bench.admit("site", f"net-{subnet}")
            assert admission.admitted
            assert admission.quotas[0].remaining == 4 - n
        assert not bench.admit("site", f"net-{subnet}").admitted
    refused = bench.admit("site", "net-10")
    assert not refused.admitted
    assert refused.quotas[0].remaining == 0
    assert refused.retry_after == pytest.approx(60_000, abs=20 * SLACK)
    assert bench.admit("elsewhere", "net-10").admitted
    bench.advance(refused.retry_after / 1000)
    assert bench.admit("site", "net-10").admitted


def test_a_refusal_of_the_subnet_is_not_charged_to_the_site_nor_the_other_way_round(bench: Bench) -> None:
    for _ in range(5):
        bench.admit("site", "full", share=2)
    before = bench.snapshot()
    for _ in range(10):
        assert not bench.admit("site", "full", share=2).admitted
    bench.assert_same(before)
    for _ in range(5):
        assert bench.admit("site", "free", share=2).admitted
    before = bench.snapshot()
    assert not bench.admit("site", "new", share=2).admitted
    bench.assert_same(before)


@pytest.mark.parametrize("networks", [("net",), ("site", "net")])
@pytest.mark.parametrize("others", [0, 4])
def test_a_repeated_request_is_counted_once_and_answered_alike(
    bench: Bench, networks: tuple[str, ...], others: int
) -> None:
    bench.admit(*networks)
    call = bench.scripts.calls[-1]
    first = bench.replay(call)
    for _ in range(others):
        bench.admit(*networks)
    before = bench.snapshot()
    settle()
    for _ in range(3):
        reply = bench.replay(call)
        assert reply[0] == "admitted"
        if not others:
            assert reply[1:] == pytest.approx(first[1:], abs=SLACK)
            assert reply[2] == 1
    bench.assert_same(before)


def test_keys_of_an_address_end_with_its_longest_window(bench: Bench) -> None:
    bench.admit("site", "net", windows=(Window(5, 60), Window(50, 3600)))
    _, ends = bench.snapshot()
    assert len(ends) == 2
    assert list(ends.values()) == pytest.approx([bench.now() + 3_600_000] * 2, abs=SLACK)


def test_requests_that_have_left_every_window_are_forgotten(bench: Bench) -> None:
    for _ in range(4):
        bench.admit()
        bench.advance(40)
    (key,) = bench.run("KEYS", "*")
    assert bench.run("ZCARD", key) == 2
