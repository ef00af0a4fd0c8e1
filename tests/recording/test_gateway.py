"""A gateway over HTTP: each send has one event with its final outcome, and no request waits for a record."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from otp_gateway.codes import Codes
from otp_gateway.errors import SKIPPED, SmsFailed, SmsUnconfirmed
from otp_gateway.model import PhoneNumber
from otp_gateway.recorder import FLUSH_SECONDS
from otp_gateway.store import connect, keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.outcomes import Outcome, outcome_of
from otp_gateway.store.recent_phones import RecentPhones
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.usage import HOUR, Tally, UsageStore
from tests.api.support import PHONE, SEND, Api, Recorder, keys_of, make_api, set_failures, wrong
from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.kavenegar import Fault, KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, wait_until

FORMER = "a-former-secret-key-of-forty-characters!"


def listed(api: Api, name: str) -> list[bytes]:
    return cast("list[bytes]", api.redis.lrange(name, 0, -1))


def outcomes(api: Api, e164: str = PHONE) -> list[Outcome]:
    """The phone's list, newest first."""
    recording.write()
    return [outcome_of(entry) for entry in listed(api, keys_of(e164).outcomes)]


def told(api: Api) -> list[tuple[str, str]]:
    return [(found.outcome, found.reason) for found in outcomes(api)]


def test_a_message_that_was_sent(redis_client: RedisClient, emulator: KavenegarEmulator) -> None:
    api = make_api(redis_client, emulator=emulator)
    assert api.send().status_code == 200
    (found,) = outcomes(api)
    entry = listed(api, keys_of(PHONE).sends)[0].decode()
    assert (found.outcome, found.reason, found.backend, found.cost) == ("sent", "", "kavenegar", 120)
    assert (found.id, found.channel, found.masked) == (entry.split(":")[1], "sms", "+98912***6789")
    assert found.message_id in emulator._by_messageid
    assert abs(found.at - int(entry.split(":")[0]) / 1000) < 5


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        (faults.code(418), 502, ("failed", "418")),
        (faults.entry_status(14), 502, ("failed", "entry_14")),
        (faults.html(), 504, ("unconfirmed", "unreadable")),
    ],
)
def test_a_message_that_the_provider_did_not_confirm(
    redis_client: RedisClient,
    emulator: KavenegarEmulator,
    fault: Fault,
    status: int,
    expected: tuple[str, str],
) -> None:
    api = make_api(redis_client, emulator=emulator)
    emulator.set_fault(fault)
    assert api.send().status_code == status
    assert told(api) == [expected]
    assert outcomes(api)[0].backend == "kavenegar"


def test_refused_sends_and_their_reasons(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_PHONE_LIMITS="1/minute")
    api.send()
    assert api.send().status_code == 429
    set_failures(api.redis, keys_of(PHONE), 50, seconds=100)
    assert api.send().status_code == 429
    assert told(api) == [("refused", "phone_failures"), ("refused", "phone"), ("sent", "")]


def test_a_solution_that_was_refused_is_recorded(redis_client: RedisClient) -> None:
    api = make_api(redis_client)
    body = {"phone_number": PHONE, "challenge": "nonsense"}
    assert api.post(SEND, body).status_code == 400
    assert told(api) == [("refused", "invalid_challenge")]


def test_a_gateway_without_a_key_records_the_refusal() -> None:
    api = make_api(KAVENEGAR_API_KEY="")
    assert api.send().status_code == 503
    assert told(api) == [("refused", "sms_not_configured")]


def test_a_send_that_the_breaker_stops_has_an_outcome() -> None:
    sender = Recorder(SmsUnconfirmed("timeout"))
    api = make_api(sender=sender, OTP_PHONE_LIMITS="100/minute")
    for _ in range(6):
        api.send()
    assert told(api)[0] == ("failed", SKIPPED)
    assert set(told(api)[1:]) == {("unconfirmed", "timeout")}


def test_a_repeated_request_is_no_second_send(redis_client: RedisClient) -> None:
    api = make_api(redis_client)
    for _ in range(2):
        assert api.send(headers={"Idempotency-Key": "k" * 20}).status_code == 200
    assert told(api) == [("sent", "")]


def test_logins_and_phones_without_a_try_are_recorded(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    api.send()
    code = sender.code_for(PHONE)
    for by in (1, 2, 3):
        api.verify(PHONE, wrong(code, by))
    recording.write()
    index = RecentPhones(redis_client)
    assert [phone.masked for phone in index.newest(keys.STUCK_PHONES)] == ["+98912***6789"]
    api.redis.delete(keys_of(PHONE).tries)
    assert api.verify(PHONE, code).status_code == 200
    recording.write()
    prefixes = UsageStore(redis_client, Scripts(redis_client)).tallies("prefix", HOUR)
    assert prefixes.top == (Tally("+98912", 1, 1),)
    assert [phone.masked for phone in index.newest(keys.RECENT_PHONES)] == ["+98912***6789"]


def test_the_index_names_the_phones_hash_under_a_former_secret(redis_client: RedisClient) -> None:
    api = make_api(redis_client, SECRET_KEY_FALLBACKS=FORMER)
    api.send()
    recording.write()
    (phone,) = RecentPhones(redis_client).newest(keys.RECENT_PHONES)
    number = PhoneNumber(PHONE)
    assert phone.pids == tuple(Codes(secret, 6).pid(number) for secret in (SECRET_KEY, FORMER))


def test_a_worker_that_dies_during_a_send_leaves_no_outcome() -> None:
    store = connect(None)
    held, done = threading.Event(), threading.Event()

    class Hanging(Recorder):
        def send(self, *_: object) -> None:
            held.set()
            done.wait(10)

    api = make_api(store, Hanging())
    thread = threading.Thread(target=api.send)
    thread.start()
    held.wait(10)
    assert outcomes(api) == []
    assert len(listed(api, keys_of(PHONE).sends)) == 1
    done.set()
    thread.join()


def test_a_fault_of_ours_leaves_no_outcome_either() -> None:
    api = make_api(sender=Recorder(RuntimeError("a fault of ours")))
    assert api.send().status_code == 500
    assert outcomes(api) == []


def test_a_send_without_redis_is_recorded_when_it_is_back(redis_server: RedisServer) -> None:
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as client:
        client.flushall()
        api = make_api(connect(proxy.url))
        # The rate limiter reaches Redis, but the script that charges the send does not.
        proxy.drop_requests(1000, Scripts(api.redis)._digests["issue"].encode())
        assert api.send().status_code == 503
        proxy.reset()
        assert told(api) == [("refused", "store_unavailable")]


def test_a_failed_send_counts_as_no_message(redis_client: RedisClient) -> None:
    api = make_api(redis_client, Recorder(SmsFailed("418")))
    api.send()
    recording.write()
    assert UsageStore(redis_client, Scripts(redis_client)).tallies("prefix", HOUR).top == ()


def test_records_are_written_within_seconds_by_themselves(redis_client: RedisClient) -> None:
    api = make_api(redis_client)
    api.send()
    wait_until(
        lambda: bool(api.redis.exists(keys_of(PHONE).outcomes)), "the record", timeout=FLUSH_SECONDS + 4
    )
