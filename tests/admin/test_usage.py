"""Usage: counted in the background, over all workers, also while Redis fails."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import redis

from otp_gateway.admin.charts import summarise
from otp_gateway.errors import StoreUnavailable
from otp_gateway.events import Batch
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.usage import HOUR, SPANS, STORED, WEEK, Bucket, UsageStore
from otp_gateway.support.times import Times
from tests.admin.support import USAGE, eternal, everything, make_panel, signed_in
from tests.api.support import OTHER, PHONE, SEND, VERIFY, Api, wrong
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, wait_until


def usage_of(store: RedisClient) -> UsageStore:
    return UsageStore(store, Scripts(store))


def counts(store: RedisClient) -> Counter[str]:
    """The counts of the last hour."""
    total: Counter[str] = Counter()
    for bucket in usage_of(store).read(HOUR):
        # The send gate counts its decisions, too.
        total.update({name: n for name, n in bucket.counts.items() if not name.startswith("gate ")})
    return total


def story(api: Api, emulator: KavenegarEmulator) -> dict[str, int]:
    """Sends and verifies of every kind, and how they must be counted."""
    for phone in (PHONE, PHONE, OTHER):
        assert api.send(phone).status_code == 200
    code = emulator.code_for(PHONE)
    api.verify(PHONE, wrong(code))
    assert api.verify(PHONE, code).status_code == 200
    api.verify(PHONE, "12345")
    api.send("12")
    # A browser first asks for permission. That is neither a send nor a verify.
    for path in (SEND, VERIFY):
        assert api.request("OPTIONS", path).status_code == 200
    return {
        "sent": 3,
        "sent:invalid_phone_number": 1,
        "verified": 1,
        "verified:invalid_code": 1,
        "verified:invalid_request": 1,
        "cost": 3 * 120,
        "priced": 3,
    }


def test_requests_are_counted_by_outcome_within_five_seconds(api: Api, emulator: KavenegarEmulator) -> None:
    expected = story(api, emulator)
    wait_until(lambda: counts(api.redis) == expected, "the counts", timeout=5)
    assert eternal(api.redis) == set()
    for span, buckets in STORED.items():
        found = list(api.redis.scan_iter(f"*usage*:{span.name}:*"))
        assert len(found) == 3
        for key in found:
            assert span.step * buckets - 10 <= api.redis.ttl(key) <= span.step * buckets
    assert "9123456789" not in everything(api.redis)


@pytest.mark.parametrize(
    ("span", "title"),
    [
        ("hour", "The last hour"),
        ("day", "The last day"),
        ("week", "The last week"),
        ("month", "The last 30 days"),
    ],
)
def test_the_usage_page_shows_one_span_with_its_reasons_in_words(
    api: Api, emulator: KavenegarEmulator, span: str, title: str
) -> None:
    expected = story(api, emulator)
    wait_until(lambda: counts(api.redis) == expected, "the counts", timeout=5)
    page = signed_in(api).get(USAGE, query_string={"span": span}).text
    assert title in page
    assert page.count("<svg") == 1
    for figure in ("3", "1", "33%", "360 Rial"):
        assert f"<dd>{figure}</dd>" in page
    assert "wrong code" in page
    assert "the number is not a mobile number" in page
    assert "1,500,000 Rial" in page


def test_thirty_days_are_one_csv(api: Api, emulator: KavenegarEmulator) -> None:
    expected = story(api, emulator)
    wait_until(lambda: counts(api.redis) == expected, "the counts", timeout=5)
    reply = signed_in(api).get("/admin/usage/30-days.csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, *rows = list(csv.reader(io.StringIO(reply.text)))
    assert head == ["day", "sent", "not_sent", "signed_in", "refused", "conversion_percent", "cost_rial"]
    assert len(rows) == 30
    now = int(api.redis.time()[0])
    assert rows[-1] == [time.strftime("%Y-%m-%d", time.gmtime(now)), "3", "1", "1", "2", "33.3", "360"]
    assert {tuple(row[1:]) for row in rows[:-1]} == {("0", "0", "0", "0", "", "0")}


def test_nothing_is_counted_for_other_pages(api: Api) -> None:
    operator = signed_in(api)
    for path in ("/", "/healthz", "/nowhere", USAGE):
        operator.get(path)
    assert "usage" not in everything(api.redis)


def test_a_request_makes_two_round_trips_with_the_panel_on(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    redis_server.clear()
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as direct:
        api = make_panel(connect(proxy.url), emulator=emulator)
        api.send(OTHER)
        direct.config_resetstat()
        before = proxy.seen(), proxy.seen(b"EVALSHA")
        api.send()
        api.verify(PHONE, wrong(emulator.code_for(PHONE)))
        api.verify(PHONE, emulator.code_for(PHONE))
        after = proxy.seen(), proxy.seen(b"EVALSHA")
        assert direct.info("commandstats")["cmdstat_evalsha"]["calls"] == 3 * 2
    assert (after[0] - before[0], after[1] - before[1]) == (3 * 2, 3 * 2)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_requests_that_find_no_redis_are_counted_when_it_is_back(
    own_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    api = make_panel(connect(own_server.url), emulator=emulator)
    assert api.send().status_code == 200
    own_server.kill()
    assert api.send().status_code == 503
    own_server.start()
    assert api.send().status_code == 200
    wait_until(lambda: counts(api.redis).get("sent:store_unavailable") == 1, "the counts", timeout=8)
    # The first one was written before the crash, or kept during it.
    assert counts(api.redis)["sent"] in (1, 2)


def test_a_store_that_cannot_be_reached_is_unavailable(own_server: RedisServer) -> None:
    store = usage_of(connect(own_server.url))
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        store.write(Batch("one", (), {"sent": 1}))
    with pytest.raises(StoreUnavailable):
        store.read(WEEK)


def test_buckets_reach_from_the_oldest_to_the_present_one(redis_client: RedisClient) -> None:
    store = usage_of(redis_client)
    store.write(Batch("one", (), {"sent": 1}))
    assert isinstance(redis_client, redis.Redis)
    now = int(redis_client.time()[0])
    for span in SPANS:
        buckets = store.read(span)
        assert len(buckets) == span.buckets
        assert {later.start - b.start for b, later in pairwise(buckets)} == {span.step}
        assert 0 <= now - buckets[-1].start <= span.step + 2
        assert sum(bucket.counts.get("sent", 0) for bucket in buckets) == 1


def test_a_summary_adds_up_and_divides_by_what_was_sent() -> None:
    buckets = [
        Bucket(0, {}),
        Bucket(3600, {"sent": 8, "verified": 5, "verified:invalid_code": 3, "cost": 960}),
        Bucket(7200, {"sent": 2, "sent:sms_failed": 1, "sent:rate_limited": 4, "verified:invalid_code": 2}),
    ]
    usage = summarise(buckets, str)
    total = usage.total
    assert (total.sent, total.verified, total.failed_sends, total.failed_verifies, total.cost) == (
        10,
        5,
        5,
        5,
        960,
    )
    assert usage.conversion == 0.5
    assert dict(usage.reasons) == {"verified:invalid_code": 5, "sent:rate_limited": 4, "sent:sms_failed": 1}
    assert usage.reasons[0] == ("verified:invalid_code", 5)
    assert [row.label for row in usage.rows] == ["0", "3600", "7200"]
    highest = max(bar.height for bar in usage.chart.bars)
    assert max(value for _, value in usage.chart.marks) == 10
    assert highest == pytest.approx(160 * 8 / 10)
    assert all(0 <= bar.x < 720 and 0 <= bar.y <= 200 for bar in usage.chart.bars)


def test_a_summary_of_nothing_divides_nothing() -> None:
    usage = summarise([Bucket(300 * n, {}) for n in range(12)], str)
    assert usage.conversion is None
    assert usage.reasons == ()
    assert {bar.height for bar in usage.chart.bars} == {0}


@pytest.mark.parametrize(("zone", "label"), [("UTC", "19:00"), ("Asia/Tehran", "22:30")])
def test_an_hour_of_the_chart_has_the_time_at_which_it_begins(zone: str, label: str) -> None:
    hour = 494_107 * 3600
    assert hour % 86_400 == 19 * 3600
    assert Times(ZoneInfo(zone), "en").label("day", hour) == label
