"""The limit of an address: its headers, its windows, and which requests count as one client."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pytest
from werkzeug.test import TestResponse

from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import (
    AWAY,
    HOME,
    OTHER,
    PHONE,
    SEND,
    VERIFY,
    Api,
    Recorder,
    assert_problem,
    failures_of,
    keys_of,
    make_api,
    retry_after,
    wrong,
)
from tests.support.servers import free_port

POLICY = re.compile(r'"([a-z0-9-]+)";q=(\d+);w=(\d+)')
STATE = re.compile(r'"([a-z0-9-]+)";r=(\d+);t=(\d+)')


def policies(reply: TestResponse) -> list[tuple[str, int, int]]:
    """Name, quota and window of every policy; the test fails if the header has another format."""
    return _items(POLICY, reply.headers["RateLimit-Policy"])


def states(reply: TestResponse) -> list[tuple[str, int, int]]:
    """Name, rest and seconds of every state; the test fails if the header has another format."""
    return _items(STATE, reply.headers["RateLimit"])


def _items(pattern: re.Pattern[str], header: str) -> list[tuple[str, int, int]]:
    matches = [pattern.fullmatch(item) for item in header.split(", ")]
    assert all(matches), header
    return [(match[1], int(match[2]), int(match[3])) for match in matches if match]


def remaining(reply: TestResponse) -> int:
    [(_, rest, _)] = states(reply)
    return rest


# --- headers


def test_by_default_an_address_has_five_requests_a_minute(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="")
    replies = [api.verify(PHONE, "000000") for _ in range(6)]
    assert [reply.status_code for reply in replies] == [400, 400, 400, 429, 429, 429]
    assert {reply.headers["RateLimit-Policy"] for reply in replies} == {'"ip";q=5;w=60'}
    assert [remaining(reply) for reply in replies] == [4, 3, 2, 1, 0, 0]
    assert all(58 <= t <= 60 for reply in replies for _, _, t in states(reply))
    assert_problem(replies[4], 429, "too_many_attempts")
    assert_problem(replies[5], 429, "rate_limited", "Too many requests")
    assert 58 <= retry_after(replies[5]) <= 60


def breaking(api: Api, key: str) -> Api:
    api.redis.set(key, "of a wrong type", ex=60)
    return api


def login() -> TestResponse:
    sender = Recorder()
    api = make_api(sender=sender)
    api.send()
    return api.verify(PHONE, sender.code_for(PHONE))


def last_of(number: int, api: Api) -> TestResponse:
    return [api.send() for _ in range(number)][-1]


COUNTED: dict[str, tuple[int, Callable[[], TestResponse]]] = {
    "a send": (200, lambda: make_api().send()),
    "a login": (200, login),
    "an invalid request": (400, lambda: make_api().post(SEND, b"{")),
    "an invalid number": (400, lambda: make_api().send("x")),
    "a wrong code": (400, lambda: make_api().verify(PHONE, "000000")),
    "too large a body": (413, lambda: make_api().post(SEND, b"x" * 9000)),
    "a strange body": (415, lambda: make_api().request("POST", SEND, data=b"x", content_type="text/plain")),
    "a phone's limit": (429, lambda: last_of(4, make_api())),
    "the address's limit": (429, lambda: last_of(2, make_api(OTP_IP_LIMITS="1/minute"))),
    "a fault of ours": (500, lambda: make_api(sender=Recorder(RuntimeError())).send()),
    "a failed SMS": (502, lambda: make_api(sender=Recorder(SmsFailed("x"))).send()),
    "no SMS service": (503, lambda: make_api(KAVENEGAR_API_KEY="").send()),
    "a broken store behind the door": (503, lambda: breaking(make_api(), keys_of(PHONE).sends).send()),
    "an unconfirmed SMS": (504, lambda: make_api(sender=Recorder(SmsUnconfirmed("x"))).send()),
}


@pytest.mark.parametrize(("status", "ask"), COUNTED.values(), ids=COUNTED)
def test_every_reply_that_was_counted_says_so(status: int, ask: Callable[[], TestResponse]) -> None:
    reply = ask()
    assert reply.status_code == status
    [(name, quota, window)] = policies(reply)
    [(same, rest, reset)] = states(reply)
    assert name == same == "ip"
    assert 0 <= rest < quota
    # These limits are so large that they are counted in parts. A part leaves the window as a whole.
    assert 1 <= reset <= window * 9 / 8 + 1
    assert window == 60


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nothing", "/api/v1/usr/otp/x"])
def test_a_reply_that_was_not_counted_has_no_limit_headers(path: str) -> None:
    reply = make_api().get(path)
    assert "RateLimit" not in reply.headers
    assert "RateLimit-Policy" not in reply.headers


@pytest.mark.parametrize("path", [SEND, VERIFY])
def test_a_request_that_no_store_could_count_says_nothing(path: str) -> None:
    reply = make_api(connect(f"redis://127.0.0.1:{free_port()}/0")).post(path, {})
    assert reply.status_code == 503
    assert "RateLimit" not in reply.headers


def test_every_window_is_announced_under_a_name_of_its_own(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="9/hour;2/2second;5/minute")
    first, second = api.send("x"), api.send("x")
    assert [(q, w) for _, q, w in policies(first)] == [(2, 2), (5, 60), (9, 3600)]
    names = [name for name, _, _ in policies(first)]
    assert len(set(names)) == 3
    assert [name for name, _, _ in states(first)] == names
    assert [rest for _, rest, _ in states(first)] == [1, 4, 8]
    assert [rest for _, rest, _ in states(second)] == [0, 3, 7]
    for (_, _, reset), (_, _, window) in zip(states(second), policies(second), strict=True):
        assert window - 1 <= reset <= window


def test_every_window_holds_and_the_longest_wait_is_reported() -> None:
    api = make_api(OTP_IP_LIMITS="2/1second;3/minute")
    codes = [api.send("x").status_code for _ in range(3)]
    assert codes == [400, 400, 429]
    time.sleep(1)
    assert api.send("x").status_code == 400
    refused = api.send("x")
    assert_problem(refused, 429, "rate_limited")
    assert 57 <= retry_after(refused) <= 59


def test_the_window_slides(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/2second")
    assert api.send("x").status_code == 400
    time.sleep(1.2)
    assert api.send("x").status_code == 400
    time.sleep(0.9)
    # The first request has left the window, the second has not. A fixed window would have room for two again.
    assert [api.send("x").status_code for _ in range(2)] == [400, 429]


def test_the_two_endpoints_are_counted_apart(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/minute")
    assert [remaining(api.send("x")) for _ in range(2)] == [1, 0]
    assert [remaining(api.verify("x", "000000")) for _ in range(2)] == [1, 0]
    assert [api.send("x").status_code, api.verify("x", "000000").status_code] == [429, 429]


def test_a_refused_request_reaches_neither_phone_nor_provider(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_IP_LIMITS="1/minute")
    assert [api.send().status_code for _ in range(3)] == [200, 429, 429]
    assert len(sender.sent) == 1
    assert [api.send(ip=f"192.0.2.{i}").status_code for i in (7, 8, 9)] == [200, 200, 429]


def test_every_key_of_the_limit_ends_by_itself(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="5/minute")
    for ip in (HOME, "2001:db8::1"):
        api.send("x", ip=ip)
    keys = list(api.redis.scan_iter())
    assert len(keys) == 3
    assert all(0 < api.redis.pttl(key) <= 60_000 for key in keys)


# --- networks


def test_two_addresses_are_two_clients(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="1/minute")
    assert [api.send("x", ip=ip).status_code for ip in (HOME, AWAY, HOME, AWAY)] == [400, 400, 429, 429]


def test_an_ipv6_client_is_its_64(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/minute")
    same = ["2001:db8:1:1::1", "2001:0db8:0001:0001:ffff:ffff:ffff:ffff", "2001:DB8:1:1::2"]
    assert [api.send("x", ip=ip).status_code for ip in same] == [400, 400, 429]
    assert api.send("x", ip="2001:db8:1:2::1").status_code == 400


def test_a_48_counts_as_ten_clients(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/minute")
    tenants = [f"2001:db8:1:{subnet:x}::{host}" for subnet in range(10) for host in (1, 2)]
    assert {api.send("x", ip=ip).status_code for ip in tenants} == {400}
    full = api.send("x", ip="2001:db8:1:aaaa::1")
    assert_problem(full, 429, "rate_limited")
    assert remaining(full) == 0
    assert 50 <= retry_after(full) <= 60
    assert remaining(api.send("x", ip="2001:db8:2:1::1")) == 1


def test_the_rest_that_is_told_is_that_of_the_fuller_network() -> None:
    api = make_api(OTP_IP_LIMITS="2/minute")
    for subnet in range(19):
        api.send("x", ip=f"2001:db8:1:{subnet:x}::1")
    # The /64 has sent once and may send once more; the /48 is full.
    assert remaining(api.send("x", ip="2001:db8:1:ffff::1")) == 0


@pytest.mark.parametrize("mapped", ["::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1"])
def test_an_ipv4_mapped_address_is_its_ipv4(redis_client: RedisClient, mapped: str) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="1/minute")
    assert api.send("x", ip=mapped).status_code == 400
    assert api.send("x", ip=HOME).status_code == 429
    assert api.send("x", ip="::ffff:192.0.2.2").status_code == 400


def test_five_64s_of_one_48_share_one_failure_budget_and_lock_the_phone_only_for_themselves(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, TRUSTED_PROXIES=1, OTP_PHONE_LIMITS="1000/minute")
    api.send(ip="", headers={"X-Forwarded-For": HOME})
    code = sender.code_for(PHONE)
    statuses = []
    for guess in range(60):
        # Each network of the connection guesses. The tries do not matter, because they are restored each
        # time.
        api.redis.hdel(keys_of(PHONE).tries, "tries", "tries_end")
        hop = f"2001:db8:1:{guess % 5:x}::{guess + 1:x}"
        statuses.append(api.verify(PHONE, wrong(code), headers={"X-Forwarded-For": hop}).status_code)
    assert statuses == [400] * 10 + [429] * 50
    assert failures_of(api.redis, keys_of(PHONE))[0] == 10
    for hop, status in (("2001:db8:1:ffff::1", 429), ("2001:db8:2::1", 400), (HOME, 200)):
        sent = code if status == 200 else wrong(code)
        reply = api.verify(PHONE, sent, headers={"X-Forwarded-For": hop})
        assert reply.status_code == status, hop


def test_the_failure_budgets_client_is_its_48_as_the_peer_too(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=1, OTP_MAX_ATTEMPTS=9)
    api.send()
    guess = wrong(sender.code_for(PHONE))
    assert api.verify(PHONE, guess, ip="2001:db8:1:1::1").status_code == 400
    for same in ("2001:db8:1:1::2", "2001:db8:1:2::1", "2001:0db8:0001:ffff:ffff::1"):
        assert_problem(api.verify(PHONE, guess, ip=same), 429, "too_many_attempts")
        assert_problem(api.send(ip=same), 429, "too_many_attempts")
    assert api.verify(PHONE, guess, ip="2001:db8:2:1::1").status_code == 400
    # An IPv4 client is one address.
    assert [api.verify(PHONE, guess, ip=ip).status_code for ip in (HOME, HOME, AWAY)] == [400, 429, 400]


def test_a_peer_without_address_is_one_client(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/minute")
    assert [api.send("x", ip="").status_code for _ in range(3)] == [400, 400, 429]
    assert api.send("x").status_code == 400


def test_behind_a_unix_socket_clients_are_distinguished_by_the_header() -> None:
    api = make_api(OTP_IP_LIMITS="1/minute", TRUSTED_PROXIES=1)
    hops = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "nonsense", "more nonsense", ""]
    replies = [api.send("x", ip="", headers={"X-Forwarded-For": hop}) for hop in hops]
    # An unreadable value counts as the peer. The peer has no address, but it is one client nevertheless.
    assert [reply.status_code for reply in replies] == [400, 400, 429, 400, 429, 429]


# --- proxies

PEER = "203.0.113.9"
CLIENT = "198.51.100.1"
SPOOF = "198.51.100.66"
NEAR = "203.0.113.1"

# Trusted proxies, X-Forwarded-For headers, and the client that the request counts for.
HOPS: dict[str, tuple[int, Sequence[str], str]] = {
    "0: ignored": (0, [CLIENT], PEER),
    "0: two ignored": (0, [f"{SPOOF}, {CLIENT}"], PEER),
    "0: missing": (0, [], PEER),
    "1: one hop": (1, [CLIENT], CLIENT),
    "1: spoofed": (1, [f"{SPOOF}, {CLIENT}"], CLIENT),
    "1: spoofed in a header before": (1, [SPOOF, CLIENT], CLIENT),
    "1: long chain": (1, [", ".join([SPOOF] * 50 + [CLIENT])], CLIENT),
    "1: no blanks": (1, [f"{SPOOF},{CLIENT}"], CLIENT),
    "1: many blanks": (1, [f"{SPOOF} ,\t {CLIENT} "], CLIENT),
    "1: missing": (1, [], PEER),
    "1: empty": (1, [""], PEER),
    "1: last empty": (1, [f"{SPOOF},"], PEER),
    "1: garbage": (1, ["nonsense"], PEER),
    "1: garbage last": (1, [f"{SPOOF}, unknown"], PEER),
    "1: a name": (1, ["client.example"], PEER),
    "1: octal": (1, ["198.051.100.1"], PEER),
    "1: out of range": (1, ["198.51.100.256"], PEER),
    "1: a network": (1, ["198.51.100.0/24"], PEER),
    "1: an integer": (1, ["3325256705"], PEER),
    "1: foreign digits": (1, ["١٩٨.51.100.1"], PEER),
    "1: port": (1, [f"{CLIENT}:4711"], CLIENT),
    "1: mapped": (1, [f"::ffff:{CLIENT}"], CLIENT),
    "1: mapped in brackets with port": (1, [f"[::ffff:{CLIENT}]:4711"], CLIENT),
    "1: ipv6": (1, ["2001:db8::7"], "2001:db8::1"),
    "1: ipv6 in brackets": (1, ["[2001:db8::7]"], "2001:db8::1"),
    "1: ipv6 with port": (1, ["[2001:db8::7]:4711"], "2001:db8::1"),
    "1: half a bracket": (1, ["[2001:db8::7"], PEER),
    "2: two hops": (2, [f"{CLIENT}, {NEAR}"], CLIENT),
    "2: spoofed": (2, [f"{SPOOF}, {CLIENT}, {NEAR}"], CLIENT),
    "2: in two headers": (2, [CLIENT, NEAR], CLIENT),
    "2: spoofed in two headers": (2, [f"{SPOOF}, {CLIENT}", NEAR], CLIENT),
    "2: one hop missing": (2, [NEAR], PEER),
    "2: missing": (2, [], PEER),
    "2: garbage in the hop that counts": (2, [f"nonsense, {NEAR}"], PEER),
    "2: garbage in the nearer hop": (2, [f"{CLIENT}, nonsense"], CLIENT),
    "2: port in the hop that counts": (2, [f"{CLIENT}:1, {NEAR}:2"], CLIENT),
    "2: empty hop that counts": (2, [f", {NEAR}"], PEER),
}


@pytest.mark.parametrize(("trusted", "headers", "counts_as"), HOPS.values(), ids=HOPS)
def test_the_client_is_read_as_many_hops_from_the_right_as_proxies_are_ours(
    trusted: int, headers: Sequence[str], counts_as: str
) -> None:
    api = make_api(OTP_IP_LIMITS="1/minute", TRUSTED_PROXIES=trusted)
    forwarded = [("X-Forwarded-For", value) for value in headers]
    # All other clients have sent already, which does not affect this one.
    for somebody in {PEER, CLIENT, SPOOF, NEAR} - {counts_as}:
        assert api.send("x", ip=somebody).status_code == 400
    assert api.send("x", ip=PEER, headers=forwarded).status_code == 400
    # From now on, the client that it counts for has sent.
    assert api.send("x", ip=counts_as).status_code == 429


def test_a_client_that_goes_around_the_first_proxy_chooses_its_address() -> None:
    # A CDN and a router are trusted, and the client calls the router: SECURITY.md, "The origin's own name".
    api = make_api(OTP_IP_LIMITS="1/minute", TRUSTED_PROXIES=2)
    for number in range(3):
        forwarded = {"X-Forwarded-For": f"203.0.113.{number}, {CLIENT}"}
        assert api.send("x", headers=forwarded).status_code == 400
    past_both = {"X-Forwarded-For": f"203.0.113.9, {CLIENT}, {NEAR}"}
    assert [api.send("x", headers=past_both).status_code for _ in range(2)] == [400, 429]


@pytest.mark.parametrize(
    "header", ["X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"]
)
@pytest.mark.parametrize("trusted", [0, 1])
def test_no_other_header_names_the_client(header: str, trusted: int) -> None:
    api = make_api(OTP_IP_LIMITS="1/minute", TRUSTED_PROXIES=trusted)
    forwarded = {"X-Forwarded-For": CLIENT} if trusted else {}
    value = "for=198.51.100.66" if header == "Forwarded" else SPOOF
    assert api.send("x", headers=forwarded).status_code == 400
    assert api.send("x", headers=forwarded | {header: value}).status_code == 429


def test_the_budgets_client_is_read_behind_proxies_too(sender: Recorder) -> None:
    api = make_api(sender=sender, TRUSTED_PROXIES=1, OTP_MAX_FAILURES_PER_CLIENT=1)
    for ip, status in ((CLIENT, 400), (CLIENT, 429), (SPOOF, 400)):
        reply = api.verify(OTHER, "000000", headers={"X-Forwarded-For": ip})
        assert reply.status_code == status
