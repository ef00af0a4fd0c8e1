"""Metrics of the SMS provider: how long it takes, and its answers when it does not confirm."""

from __future__ import annotations

import pytest

from tests.api.support import PHONE, Api, make_api
from tests.metrics.support import Labels, gained, labels, scrape
from tests.senders.support import in_turn, refusing
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Call, Fault, KavenegarEmulator, Reply, envelope

SEND, LOOKUP, INFO = "sms/send", "verify/lookup", "account/info"


def api_to(emulator: KavenegarEmulator, template: str = "") -> Api:
    return make_api(
        emulator=emulator, OTP_PHONE_LIMITS="1000/minute", SMS_TIMEOUT=2, KAVENEGAR_TEMPLATE=template
    )


def errors_of_a_send(api: Api) -> dict[Labels, float]:
    before = scrape(api)
    api.send()
    return gained(before, scrape(api), "sms_provider_errors_total")


def test_a_good_send_is_timed_and_no_error(emulator: KavenegarEmulator) -> None:
    api = api_to(emulator)
    api.send()
    api.send()
    now = scrape(api)
    assert now.value("sms_provider_call_duration_seconds_count", call=SEND) == 2
    assert now.by_label("sms_provider_errors_total") == {}


def test_a_template_is_a_call_of_its_own(emulator: KavenegarEmulator) -> None:
    api = api_to(emulator, template="login")
    api.send()
    emulator.fault = faults.code(424)
    assert errors_of_a_send(api) == {labels(call=LOOKUP, code="424", fault="configuration"): 1}
    assert scrape(api).value("sms_provider_call_duration_seconds_count", call=LOOKUP) == 2


@pytest.mark.parametrize(
    ("fault", "code", "whose"),
    [
        (faults.code(411), "411", "caller"),
        (faults.code(403), "403", "configuration"),
        (faults.code(418), "418", "configuration"),
        (faults.code(418, http=200), "418", "configuration"),
        (faults.code(413), "413", "bug"),
        (faults.code(409), "409", "temporary"),
        (faults.code(402), "402", "unknown"),
        (faults.entry_status(6), "entry_6", "unknown"),
        (faults.entry_status(14), "entry_14", "unknown"),
        (faults.entry_status(11), "entry_11", "unknown"),
        (faults.wrong_receptor(), "localid_taken", "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_exchange_without_confirmation_is_counted_once_by_its_code(
    emulator: KavenegarEmulator, fault: Fault, code: str, whose: str
) -> None:
    emulator.fault = fault
    assert errors_of_a_send(api_to(emulator)) == {labels(call=SEND, code=code, fault=whose): 1}
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code", "whose"),
    [
        (faults.code(500), "500", "temporary"),
        (faults.html(502), "unreadable", "temporary"),
        (faults.invalid_json(), "unreadable", "unknown"),
        (faults.drop(), "dropped", "temporary"),
        (faults.hang(), "timeout", "temporary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_repeated_send_is_two_exchanges_and_two_errors(
    emulator: KavenegarEmulator, fault: Fault, code: str, whose: str
) -> None:
    emulator.fault = fault
    api = api_to(emulator)
    assert errors_of_a_send(api) == {labels(call=SEND, code=code, fault=whose): 2}
    assert scrape(api).value("sms_provider_call_duration_seconds_count", call=SEND) == 2


def test_an_error_that_the_repeat_heals_is_counted_all_the_same(emulator: KavenegarEmulator) -> None:
    emulator.fault = in_turn(faults.drop(), faults.code(200))
    api = api_to(emulator)
    assert errors_of_a_send(api) == {labels(call=SEND, code="dropped", fault="temporary"): 1}
    assert scrape(api).value("sends_total", outcome="sent") == 1


def test_a_provider_that_cannot_be_reached_is_unreachable() -> None:
    with refusing() as url:
        api = make_api(KAVENEGAR_API_KEY="a-key", KAVENEGAR_BASE_URL=url, SMS_TIMEOUT=2)
        assert errors_of_a_send(api) == {labels(call=SEND, code="unreachable", fault="temporary"): 2}


def test_a_slow_provider_shows_in_the_times(emulator: KavenegarEmulator) -> None:
    api = api_to(emulator)
    before = scrape(api)
    api.send()
    emulator.fault = faults.slow(0.3)
    api.send()
    buckets = gained(before, scrape(api), "sms_provider_call_duration_seconds_bucket")
    assert buckets[labels(call=SEND, le="0.25")] == 1
    assert buckets[labels(call=SEND, le="+Inf")] == 2


def test_the_credit_is_reported_once_it_is_known(emulator: KavenegarEmulator) -> None:
    api = api_to(emulator)
    assert not scrape(api).has("sms_credit_rials")
    api.app.extensions["provider_watch"].look()
    now = scrape(api)
    assert now.value("sms_credit_rials") == 1_500_000
    read_at, _ = api.redis.time()
    assert 0 <= read_at - now.value("sms_credit_read_timestamp_seconds") <= 60
    assert now.value("sms_provider_call_duration_seconds_count", call=INFO) == 1


@pytest.mark.parametrize("credit", [10**400, -(10**400), 1e300, "12x", None, [], {}, True])
def test_no_credit_that_the_provider_may_tell_breaks_a_scrape(
    emulator: KavenegarEmulator, credit: object
) -> None:
    def fault(call: Call) -> None:
        call.send(Reply.of(envelope(200, {"remaincredit": credit, "expiredate": credit}), 200))

    api = api_to(emulator)
    emulator.fault = fault
    api.app.extensions["provider_watch"].look()
    assert len(emulator.requests) == 1
    assert scrape(api).has("sms_credit_rials") is (credit is True)


def test_what_the_watch_meets_is_counted_too(emulator: KavenegarEmulator) -> None:
    api = api_to(emulator)
    emulator.set_fault(faults.code(403), action=INFO)
    before = scrape(api)
    api.app.extensions["provider_watch"].look()
    errors = gained(before, scrape(api), "sms_provider_errors_total")
    assert errors == {labels(call=INFO, code="403", fault="configuration"): 1}
    assert PHONE not in scrape(api).text
