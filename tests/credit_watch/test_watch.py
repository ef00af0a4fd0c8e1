"""The credit watch, several workers of it on one store: which of them queries, and what it warns of."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, cast

import pytest
import redis

from otp_gateway.provider_watch import ProviderWatch
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PROVIDER_ACCOUNT, PROVIDER_TURN, warned
from otp_gateway.store.provider_account import WARN_SECONDS
from tests.api.support import Api, Recorder, make_api
from tests.metrics.support import scrape
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Call, Fault, KavenegarEmulator, Reply, envelope
from tests.support.redis_server import RedisServer
from tests.support.servers import free_port

INFO = "account/info"


def says(entries: object) -> Fault:
    """The provider answers without an error, with these entries."""
    return lambda call: call.send(Reply.of(envelope(200, entries), 200))


def tells(credit: object) -> Fault:
    """The provider reports this credit."""
    return says({"remaincredit": credit, "expiredate": 13_548_889, "type": "master"})


class Workers:
    """Four workers that check in turn. Time passes when the key of their turn is deleted."""

    def __init__(self, store: RedisClient, emulator: KavenegarEmulator, minimum: int = 500_000) -> None:
        self.redis = cast("redis.Redis", store)
        self._store = store
        self._emulator = emulator
        self._minimum = minimum

    @cached_property
    def apis(self) -> list[Api]:
        """The applications, made at their first use. So the test captures their logs."""
        return [
            make_api(
                self._store,
                KAVENEGAR_API_KEY=self._emulator.api_key,
                KAVENEGAR_BASE_URL=self._emulator.base_url,
                KAVENEGAR_MIN_CREDIT=self._minimum,
            )
            for _ in range(4)
        ]

    @property
    def watches(self) -> list[ProviderWatch]:
        return [api.app.extensions["provider_watch"] for api in self.apis]

    def minute(self) -> None:
        """All workers check at once, because their turn has come again."""
        self.redis.delete(PROVIDER_TURN)
        self.look()

    def look(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ProviderWatch.look, self.watches))


@pytest.fixture
def workers(redis_client: RedisClient, emulator: KavenegarEmulator) -> Workers:
    return Workers(redis_client, emulator)


def warnings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The warnings since the last call."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line["level"] == "error"] == []
    return [line for line in lines if line["logger"] == "otp_gateway.credit"]


def asked(emulator: KavenegarEmulator) -> int:
    return sum(request.action == INFO for request in emulator.requests)


def test_one_worker_a_minute_asks(workers: Workers, emulator: KavenegarEmulator) -> None:
    for _ in range(3):
        workers.look()
    assert asked(emulator) == 1
    assert 50 <= workers.redis.ttl(PROVIDER_TURN) <= 60
    workers.minute()
    assert asked(emulator) == 2
    assert {scrape(api).value("sms_credit_rials") for api in workers.apis} == {1_500_000}


def test_enough_credit_is_nothing_to_warn_of(
    workers: Workers, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for credit in (500_000, 500_001, 10**12):
        emulator.fault = tells(credit)
        workers.minute()
    assert warnings(capsys) == []


def test_low_credit_is_warned_of_once_an_hour_and_again_after_it_was_well(
    workers: Workers, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fault = tells(499_999)
    for _ in range(5):
        workers.minute()
    [warning] = warnings(capsys)
    assert warning["event"] == "SMS credit is low"
    assert warning["credit"] == "499,999 Rial"
    assert warning["minimum"] == "500,000 Rial"
    key = warned("low")
    assert WARN_SECONDS - 60 <= workers.redis.ttl(key) <= WARN_SECONDS
    # An hour later.
    workers.redis.delete(key)
    workers.minute()
    workers.minute()
    assert len(warnings(capsys)) == 1
    # The credit is raised, and used up again within the hour.
    emulator.fault = tells(2_000_000)
    workers.minute()
    assert warnings(capsys) == []
    emulator.fault = tells(0)
    workers.minute()
    workers.minute()
    [warning] = warnings(capsys)
    assert warning["credit"] == "0 Rial"


def test_a_minimum_of_0_never_warns(
    redis_client: RedisClient, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = Workers(redis_client, emulator, minimum=0)
    for credit in (0, -5000):
        emulator.fault = tells(credit)
        workers.minute()
    assert warnings(capsys) == []


SILENCES = {
    "refused": (faults.code(403), "403", "configuration"),
    "busy": (faults.code(409), "409", "temporary"),
    "html": (faults.html(502), "unreadable", "temporary"),
    "dropped": (faults.drop(), "dropped", "temporary"),
    "no credit": (tells(None), "unreadable", "unknown"),
    "a word": (tells("much"), "unreadable", "unknown"),
    "no entry": (says([]), "unreadable", "unknown"),
    "odd entry": (says([[[]]]), "unreadable", "unknown"),
}


@pytest.mark.parametrize("case", SILENCES)
def test_a_provider_that_does_not_report_is_warned_of_once_by_its_code(
    workers: Workers, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    fault, reason, whose = SILENCES[case]
    emulator.fault = fault
    for _ in range(3):
        workers.minute()
    [warning] = warnings(capsys)
    assert warning["event"] == "the SMS provider does not report its credit"
    assert (warning["reason"], warning["fault"]) == (reason, whose)
    assert asked(emulator) == 3
    emulator.fault = None
    workers.minute()
    emulator.fault = fault
    workers.minute()
    assert len(warnings(capsys)) == 1


def test_low_credit_and_silence_are_warned_of_apart(
    workers: Workers, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    events = []
    for fault in (tells(5), faults.code(403), tells(5), faults.code(403)):
        emulator.fault = fault
        workers.minute()
        events += [(warning["event"].split()[-1], warning.get("reason")) for warning in warnings(capsys)]
    # The provider answered between the failures, so they are two reports. The credit never rose: one report.
    assert events == [("low", None), ("credit", "403"), ("credit", "403")]


def test_a_hanging_provider_holds_up_no_request(
    emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = Workers(connect(None), emulator)
    api = workers.apis[0]
    emulator.set_fault(faults.hang(), action=INFO)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(workers.look)
        assert api.send().status_code == 200
        assert scrape(api).value("sms_credit_rials") == 0
        assert not job.done()
        job.result()
    [warning] = warnings(capsys)
    assert (warning["reason"], warning["fault"]) == ("timeout", "temporary")


def test_no_warning_holds_a_run_of_digits_that_looks_like_a_code(
    workers: Workers, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for fault in (tells(482_915), tells(-482_915), faults.code(403), tells(10**14)):
        emulator.fault = fault
        workers.minute()
    found = warnings(capsys)
    assert len(found) == 2
    for warning in found:
        assert not re.search(r"[0-9]{4}", json.dumps({**warning, "timestamp": ""}))
        assert emulator.api_key not in json.dumps(warning)


def test_without_redis_nothing_breaks_and_with_it_all_is_well_again(
    emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer() as server:
        workers = Workers(connect(server.url), emulator)
        assert len(workers.watches) == 4
        server.kill()
        workers.look()
        assert asked(emulator) == 0
        server.start()
        workers.look()
        assert asked(emulator) == 1

        # Redis may also fail during the query to the provider.
        def last_words(call: Call) -> None:
            server.kill()
            faults.code(403)(call)

        emulator.fault = last_words
        workers.minute()
        assert asked(emulator) == 2
        assert [warning["reason"] for warning in warnings(capsys)] == ["403"]
        server.start()
        emulator.fault = None
        workers.look()
        assert scrape(workers.apis[0]).value("sms_credit_rials") == 1_500_000


def test_a_key_of_the_watch_holds_no_secret_and_ends(workers: Workers, emulator: KavenegarEmulator) -> None:
    workers.minute()
    emulator.fault = tells(5)
    workers.minute()
    emulator.fault = faults.code(403)
    workers.minute()
    keys = {key.decode() for key in workers.redis.scan_iter("provider:*")}
    assert keys == {PROVIDER_ACCOUNT, PROVIDER_TURN, warned("low"), warned("silent")}
    for key in keys:
        assert workers.redis.ttl(key) > 0
        assert emulator.api_key.encode() not in (workers.redis.get(key) or b"")


def test_the_thread_reports_an_unexpected_error_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_api()  # logs as in a gateway
    monkeypatch.setattr("otp_gateway.provider_watch.LOOK_SECONDS", 0.01)
    reported: list[Exception] = []
    ended = threading.Event()

    def fail() -> None:
        if len(reported) == 2:
            ended.set()
            threading.Event().wait()  # until this process ends
        raise ZeroDivisionError

    others: list[int] = []
    ProviderWatch([fail, lambda: others.append(1)], reported.append).start()
    assert ended.wait(10)
    assert [type(error) for error in reported] == [ZeroDivisionError] * 2
    # The other check is made, too.
    assert len(others) == 2
    assert capsys.readouterr().err.count("a look at the provider has failed") == 2


@pytest.mark.parametrize(
    "variables",
    [{}, {"SMS_BACKEND": "console"}, {"SMS_BACKEND": "console", "KAVENEGAR_API_KEY": "a-key"}],
    ids=["no key", "console", "console with a key"],
)
def test_without_a_provider_there_is_no_watch(variables: dict[str, str]) -> None:
    api: Api = make_api(sender=Recorder(), **variables)  # type: ignore[arg-type]  # only settings
    assert "provider_watch" not in api.app.extensions


def test_a_gateway_that_starts_without_redis_has_its_watch_all_the_same(emulator: KavenegarEmulator) -> None:
    workers = Workers(connect(f"redis://127.0.0.1:{free_port()}/0"), emulator)
    workers.watches[0].look()
    assert asked(emulator) == 0
