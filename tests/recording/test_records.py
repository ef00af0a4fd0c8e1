"""The records in Redis: their content, their size, and that a repeated batch does not change them."""

from __future__ import annotations

from typing import cast

import pytest
import redis

from otp_gateway.events import Batch, Event, StuckEvent
from otp_gateway.store import connect, keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.outcomes import KEPT, Outcome, OutcomeStore, outcome_of
from otp_gateway.store.recent_phones import NEWEST, RecentPhones
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.usage import HOUR, MEMBERS, SPANS, Tally, UsageStore
from tests.recording.support import NOW, PHONE, a_login, a_phone, a_send
from tests.support.redis_server import RedisServer, start_cluster

OTHER = "+989351112233"


def write(store: RedisClient, batch: Batch) -> None:
    """Write with every writer."""
    scripts = Scripts(store)
    for writer in (OutcomeStore(scripts), RecentPhones(store), UsageStore(store, scripts)):
        writer.write(batch)


def outcomes(store: RedisClient, e164: str = PHONE) -> list[Outcome]:
    entries = cast("redis.Redis", store).lrange(PhoneKeys(a_phone(e164)["pid"]).outcomes, 0, -1)
    return [outcome_of(entry) for entry in cast("list[bytes]", entries)]


def members(store: RedisClient, name: str = keys.RECENT_PHONES) -> list[str]:
    return [phone.masked for phone in RecentPhones(store).newest(name)]


def everything(store: RedisClient) -> dict[bytes, bytes | None]:
    """Every key with its value."""
    client = cast("redis.Redis", store)
    return {name: client.dump(name) for name in client.scan_iter()}


class TestOutcomes:
    def test_a_send_has_outcome_reason_cost_backend_and_message_id(self, redis_client: RedisClient) -> None:
        sent = a_send("one", cost=120, backend="kavenegar", message_id="85463238", lane="device")
        write(redis_client, Batch("b", [sent], {}))
        (found,) = outcomes(redis_client)
        assert found == Outcome(
            at=NOW / 1000,
            times=1,
            id="one",
            outcome="sent",
            reason="",
            channel="sms",
            lane="device",
            backend="kavenegar",
            cost=120,
            message_id="85463238",
            client="network-0001",
            masked="+98912***6789",
        )

    def test_the_last_twenty_are_kept_newest_first(self, redis_client: RedisClient) -> None:
        for start in range(0, 30, 10):
            events = [a_send(str(n), at=NOW + n) for n in range(start, start + 10)]
            write(redis_client, Batch(str(start), events, {}))
        assert [found.id for found in outcomes(redis_client)] == [str(n) for n in range(29, 9, -1)]
        assert len(outcomes(redis_client)) == KEPT

    def test_a_refusal_that_repeats_itself_takes_one_place(self, redis_client: RedisClient) -> None:
        write(redis_client, Batch("1", [a_send("sent")], {}))
        for n in range(3):
            events = [a_send(f"{n}-{i}", outcome="refused", reason="phone") for i in range(100)]
            write(redis_client, Batch(f"r{n}", events, {}))
        other = a_send("other", outcome="refused", reason="sms_busy")
        write(redis_client, Batch("2", [other], {}))
        found = outcomes(redis_client)
        assert [(f.outcome, f.reason, f.times) for f in found] == [
            ("refused", "sms_busy", 1),
            ("refused", "phone", 300),
            ("sent", "", 1),
        ]

    def test_a_phone_that_was_only_refused_is_forgotten_after_ten_minutes(
        self, redis_client: RedisClient
    ) -> None:
        client, name = cast("redis.Redis", redis_client), PhoneKeys(a_phone()["pid"]).outcomes
        refused = a_send("one", outcome="refused", reason="challenge_required")
        write(redis_client, Batch("1", [refused], {}))
        assert 0 < client.ttl(name) <= 600
        assert members(redis_client) == []
        write(redis_client, Batch("2", [a_send("two")], {}))
        write(redis_client, Batch("3", [a_send("three", outcome="refused", reason="phone")], {}))
        assert 86_000 < client.ttl(name) <= 86_400
        assert members(redis_client) == ["+98912***6789"]

    def test_a_phone_that_was_only_refused_takes_few_bytes(self, redis_server: RedisServer) -> None:
        with redis_server.client() as client:
            client.flushall()
            store = connect(redis_server.url)

            def refuse(first: int, last: int) -> int:
                """Twenty refusals of each phone with changing reasons; return the growth of the memory."""
                before = client.info("memory")["used_memory"]
                for n in range(first, last):
                    events = [
                        a_send(f"{n:08d}{i:04d}", f"+98912{n:07d}", outcome="refused", reason=reason)
                        for i, reason in enumerate(("challenge_required", "invalid_challenge") * 10)
                    ]
                    OutcomeStore(Scripts(store)).write(Batch(str(n), events, {}))
                return int(client.info("memory")["used_memory"] - before)

            # Redis's own tables grow by doubling, so a few phones come first.
            refuse(0, 600)
            assert refuse(600, 1000) / 400 <= 500


def test_a_batch_that_is_written_twice_counts_once(redis_client: RedisClient) -> None:
    refused = [a_send(f"r{n}", outcome="refused", reason="phone") for n in range(3)]
    events: list[Event] = [
        a_send("one"),
        *refused,
        a_login("login"),
        a_send("two", OTHER, outcome="failed", reason="418"),
    ]
    write(redis_client, Batch("b", events, {"sent": 1, "cost": 120}))
    before = everything(redis_client)
    write(redis_client, Batch("b", events, {"sent": 1, "cost": 120}))
    assert everything(redis_client) == before


def test_every_key_has_an_end(redis_client: RedisClient) -> None:
    events: list[Event] = [
        a_send("one"),
        a_login("login"),
        StuckEvent(**a_phone(), client="network-0001", at=NOW),
    ]
    client = cast("redis.Redis", redis_client)
    client.rpush(PhoneKeys(a_phone()["pid"]).sends, "a send")
    client.expire(PhoneKeys(a_phone()["pid"]).sends, 60)
    write(redis_client, Batch("b", events, {"sent": 1}))
    names = list(client.scan_iter())
    assert len(names) == 14
    assert all(client.ttl(name) > 0 for name in names)


def test_no_record_has_both_the_masked_number_and_the_prefix() -> None:
    # +44 7400 123456: the prefix shows a digit that the mask hides.
    e164 = "+971501234567"
    store = connect(None)
    write(store, Batch("b", (a_send("one", e164), a_login("two", e164)), {}))
    prefix, masked = a_phone(e164)["prefix"], a_phone(e164)["masked"]
    assert not masked.startswith(prefix)
    for name, value in everything(store).items():
        assert not (prefix.encode() in name + (value or b"") and masked.encode() in (value or b"")), name


class TestRecentPhones:
    def test_a_phone_that_was_sent_no_code_is_never_listed_as_stuck(self, redis_client: RedisClient) -> None:
        client = cast("redis.Redis", redis_client)
        client.rpush(PhoneKeys(a_phone(OTHER)["pid"]).of_devices.sends, "a send")
        stuck = [StuckEvent(**a_phone(e164), client="network-0001", at=NOW) for e164 in (PHONE, OTHER)]
        write(redis_client, Batch("b", stuck, {}))
        assert members(redis_client, keys.STUCK_PHONES) == ["+98935***2233"]

    def test_the_order_is_newest_first_and_a_late_write_does_not_change_it(
        self, redis_client: RedisClient
    ) -> None:
        yesterday = a_send("0", "+989020000000", at=NOW - 86_400_000)
        later, earlier = a_send("2", at=NOW + 5), a_send("1", at=NOW)
        between = a_send("3", OTHER, at=NOW + 3)
        for n, event in enumerate((yesterday, later, between, earlier)):
            write(redis_client, Batch(str(n), [event], {}))
        assert members(redis_client) == ["+98912***6789", "+98935***2233"]

    @pytest.mark.parametrize("at_once", [1, 2500])
    def test_reading_goes_on_where_it_ended(self, redis_client: RedisClient, at_once: int) -> None:
        events = [a_send(str(n), f"+98912{n:07d}", at=NOW + n // 3) for n in range(2500)]
        write(redis_client, Batch("b", events, {}))
        index = RecentPhones(redis_client)
        found: list[str] = []
        position = None
        while len(found) < 2500:
            reading = index.newest(keys.RECENT_PHONES, position)
            part = [next(reading) for _ in range(at_once)]
            found += [phone.pids[0] for phone in part]
            position = part[-1].position
            if at_once == 1 and len(found) == 50:
                break
        newest = sorted(events, key=lambda event: (event.at, event.pid), reverse=True)
        assert found == [event.pid for event in newest][: len(found)]

    def test_only_the_newest_are_kept(self, redis_server: RedisServer) -> None:
        with redis_server.client() as client:
            client.flushall()
            store = connect(redis_server.url)
            events = [a_send(str(n), f"+98912{n:07d}", at=NOW + n) for n in range(NEWEST + 10)]
            RecentPhones(store).write(Batch("b", events, {}))
            assert client.zcard(keys.RECENT_PHONES) == NEWEST
            first = next(RecentPhones(store).newest(keys.RECENT_PHONES))
            assert first.pids == (events[-1].pid,)


class TestTallies:
    def test_sends_logins_and_conversion_by_prefix_and_network(self, redis_client: RedisClient) -> None:
        events: list[Event] = [
            a_send("1"),
            a_send("2", outcome="unconfirmed", reason="timeout"),
            a_send("3", OTHER, client="network-0002"),
            a_send("4", outcome="failed", reason="418"),
            a_send("5", outcome="refused", reason="phone"),
            a_login("6"),
        ]
        write(redis_client, Batch("b", events, {}))
        store = UsageStore(redis_client, Scripts(redis_client))
        for span in SPANS:
            prefixes = store.tallies("prefix", span)
            assert prefixes.top == (Tally("+98912", 2, 1), Tally("+98935", 1, 0))
            assert prefixes.rest == Tally("", 0, 0)
            networks = store.tallies("network", span)
            assert networks.top == (Tally("network-0001", 2, 1), Tally("network-0002", 1, 0))
            assert networks.rest == Tally("", 0, 0)
        assert prefixes.top[0].conversion == 0.5

    def test_a_flood_of_networks_takes_a_bounded_place_and_hides_no_heavy_one(
        self, redis_client: RedisClient
    ) -> None:
        usage = UsageStore(redis_client, Scripts(redis_client))
        for n in range(40):
            flood = [a_send(f"{n}-{i}", client=f"flood-{n:03}-{i:03}") for i in range(200)]
            # One send in a hundred is from the heavy network, and it comes when the tally is full.
            heavy = [a_send(f"heavy-{n}-{i}", client="the-heavy-one") for i in range(4 if n > 2 else 0)]
            usage.write(Batch(str(n), flood + heavy, {}))
        networks = usage.tallies("network", HOUR)
        assert networks.top[0] == Tally("the-heavy-one", 37 * 4, 0)
        assert sum(one.sends for one in (*networks.top, networks.rest)) == 40 * 200 + 37 * 4
        client = cast("redis.Redis", redis_client)
        for name in client.scan_iter("*network*"):
            assert client.hlen(name) <= MEMBERS + 1


def test_a_cluster_takes_every_record() -> None:
    with start_cluster() as nodes:
        store = connect(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        events = [a_send(str(n), f"+98912{n:07d}") for n in range(20)]
        write(store, Batch("b", events, {"sent": 20}))
        for n in range(20):
            assert len(outcomes(store, f"+98912{n:07d}")) == 1
        assert UsageStore(store, Scripts(store)).tallies("prefix", HOUR).top[0].sends == 20


def test_scripts_that_redis_has_forgotten_are_loaded_again(redis_server: RedisServer) -> None:
    store = connect(redis_server.url)
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    events = [a_send(str(n), f"+98912{n:07d}") for n in range(250)]
    write(store, Batch("b", events, {}))
    assert len(outcomes(store, "+989120000249")) == 1
