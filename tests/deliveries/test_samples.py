"""The sample of messages whose delivery status is read, on either store."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from otp_gateway.delivery_watch import DeliveryWatch
from otp_gateway.events import Batch, SendEvent
from otp_gateway.metrics.metrics import PREFIXES, Metrics
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.store.client import RedisClient
from otp_gateway.store.deliveries import SAMPLE_AGE_MINUTES, SAMPLES_A_MINUTE, DeliverySamples
from otp_gateway.store.keys import delivery_sample, delivery_turn
from tests.api.support import OTHER, PHONE, Api, make_api
from tests.conftest import make_settings
from tests.deliveries.support import make_due
from tests.metrics.support import scrape
from tests.recording.support import a_send
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.kavenegar import Fault, KavenegarEmulator

CALL = "sms/statuslocalmessageid"


def number(event: SendEvent) -> int:
    return int(event.id)


def due(store: RedisClient) -> int:
    """The minute whose sample is due, in milliseconds."""
    return 60_000 * (int(store.time()[0]) // 60 - SAMPLE_AGE_MINUTES)


def events(store: RedisClient, count: int, first: int = 1) -> list[SendEvent]:
    return [a_send(str(first + n), at=due(store) + n % 60_000) for n in range(count)]


def batches(found: list[SendEvent], size: int = 500) -> list[Batch]:
    return [Batch(f"batch-{n}", found[n : n + size], {}) for n in range(0, len(found), size)]


def test_a_minute_keeps_a_bounded_sample_however_many_messages_it_has(redis_client: RedisClient) -> None:
    samples = DeliverySamples(redis_client, number)
    for batch in batches(events(redis_client, 3000)):
        samples.write(batch)
    name = delivery_sample(due(redis_client) // 60_000)
    assert 0 < redis_client.ttl(name) <= 3600
    assert len(samples.take()) == SAMPLES_A_MINUTE


def test_every_message_has_the_same_probability(redis_client: RedisClient) -> None:
    """Messages of the first and of the last batch of a minute are equally often in the sample."""
    halves: Counter[bool] = Counter()
    for round_ in range(40):
        samples, first = DeliverySamples(redis_client, number), 1 + 10_000 * round_
        for batch in batches(events(redis_client, 400, first), 50):
            samples.write(batch)
        halves.update(sample.number < first + 200 for sample in samples.take())
        minute = due(redis_client) // 60_000
        redis_client.delete(delivery_sample(minute), delivery_turn(minute))
    # Of 1,200 draws, six standard deviations are 104.
    assert abs(halves[True] - halves[False]) < 2 * 104


def test_a_repeated_batch_changes_nothing_and_workers_need_not_agree(redis_client: RedisClient) -> None:
    found = batches(events(redis_client, 300), 20)
    one, other = (DeliverySamples(redis_client, number) for _ in range(2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one.write, found + found))
    drawn = {sample.number for sample in one.take()}
    minute = due(redis_client) // 60_000
    redis_client.delete(delivery_sample(minute), delivery_turn(minute))
    for batch in reversed(found):
        other.write(batch)
    assert {sample.number for sample in other.take()} == drawn


def test_one_of_many_workers_takes_the_sample_of_a_minute(redis_client: RedisClient) -> None:
    samples = DeliverySamples(redis_client, number)
    samples.write(Batch("one", events(redis_client, 10), {}))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: samples.take(), range(16)))
    assert sorted(map(len, taken)) == [0] * 15 + [10]
    # A message that is recorded late causes no second call.
    samples.write(Batch("two", events(redis_client, 10, 100), {}))
    assert samples.take() == []


def test_a_sample_shows_no_digit_that_the_masked_number_hides(redis_client: RedisClient) -> None:
    samples = DeliverySamples(redis_client, number)
    phones = ["+989123456789", "+4915123456789", "+35312345678", "+6581234567"]
    found = [a_send(str(n), e164, at=due(redis_client)) for n, e164 in enumerate(phones)]
    samples.write(Batch("one", found, {}))
    for sample in samples.take():
        event = found[sample.number]
        assert event.masked.startswith(sample.prefix)
        assert event.prefix.startswith(sample.prefix)


def provider_calls(emulator: KavenegarEmulator) -> int:
    return sum(request.action == CALL for request in emulator.requests)


def watched(store: RedisClient, emulator: KavenegarEmulator, **variables: str) -> Api:
    """A gateway without the credit watch."""
    return make_api(store, emulator=emulator, **variables)  # type: ignore[arg-type]  # only settings


def test_a_scrape_has_the_delivery_status_by_prefix(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    api = watched(redis_client, emulator)
    for phone in (PHONE, PHONE, OTHER):
        assert api.send(phone).status_code == 200
    recording.write()
    first, second, _ = (str(message.localid) for message in emulator.messages)
    emulator._by_localid[first][0]["status"] = 10
    emulator._by_localid[second][0]["status"] = 11
    make_due(redis_client)
    for _ in range(3):
        api.app.extensions["provider_watch"].look()
    now = scrape(api)
    name = "sms_delivery_samples_total"
    assert now.value(name, prefix="+98912", status="delivered") == 1
    assert now.value(name, prefix="+98912", status="undelivered") == 1
    assert now.value(name, prefix="+98935", status="queued") == 1
    assert provider_calls(emulator) == 1


def test_messages_that_did_not_go_out_through_kavenegar_are_in_no_sample(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    api = watched(redis_client, emulator)
    emulator.set_fault(faults.code(418), action="sms/send")
    assert api.send().status_code == 502
    emulator.set_fault(None)
    recording.write()
    make_due(redis_client)
    api.app.extensions["provider_watch"].look()
    assert provider_calls(emulator) == 0


def test_a_lookup_is_sampled_by_its_message_id(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    api = watched(redis_client, emulator, KAVENEGAR_TEMPLATE="login")
    assert api.send().status_code == 200
    recording.write()
    make_due(redis_client)
    api.app.extensions["provider_watch"].look()
    assert scrape(api).value("sms_delivery_samples_total", prefix="+98912", status="carrier") == 1


@pytest.mark.parametrize(
    "fault", [faults.code(403), faults.html(502), faults.drop()], ids=["refused", "page", "dropped"]
)
def test_a_provider_that_fails_costs_one_sample_and_no_more(
    redis_client: RedisClient, emulator: KavenegarEmulator, fault: Fault
) -> None:
    api = watched(redis_client, emulator)
    assert api.send().status_code == 200
    recording.write()
    make_due(redis_client)
    emulator.set_fault(fault, action=CALL)
    for _ in range(3):
        api.app.extensions["provider_watch"].look()
    assert provider_calls(emulator) == 1
    assert not scrape(api).has("sms_delivery_samples_total")


def test_a_worker_names_a_bounded_number_of_prefixes() -> None:
    metrics = Metrics()
    for n in range(3 * PREFIXES):
        metrics.delivery(f"+{n}", "delivered")
    metrics.delivery("+0", "failed")
    named: Counter[str] = Counter()
    for family in metrics.registry().collect():
        for sample in family.samples:
            if sample.name == "otp_gateway_sms_delivery_samples_total":
                named[sample.labels["prefix"]] += int(sample.value)
    assert len(named) == PREFIXES + 1
    assert (named["+0"], named["rest"]) == (2, 2 * PREFIXES)


def test_the_watch_does_nothing_without_redis(emulator: KavenegarEmulator) -> None:
    settings = make_settings(KAVENEGAR_API_KEY=emulator.api_key, KAVENEGAR_BASE_URL=emulator.base_url)
    reports = KavenegarReports.from_settings(settings)
    assert reports
    api = make_api(emulator=emulator)
    api.redis.connection_pool.connection_kwargs["server"].connected = False
    DeliveryWatch(DeliverySamples(api.redis, number), reports, Metrics()).look()
    assert provider_calls(emulator) == 0
