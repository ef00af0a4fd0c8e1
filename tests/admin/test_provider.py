"""The provider's reports: its account once a minute, and the delivery status of one phone's messages."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from otp_gateway.store.client import RedisClient
from otp_gateway.store.deliveries import CALLS_A_MINUTE
from otp_gateway.store.keys import DELIVERY_CALLS, DELIVERY_PAUSE, provider_delivery
from otp_gateway.store.provider_account import ProviderAccountStore
from tests.admin.support import TOKENS, USAGE, Operator, make_panel, pid_of, signed_in
from tests.api.support import OTHER, PHONE, Api, Recorder
from tests.senders.support import refusing
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.kavenegar import Fault, KavenegarEmulator

PID = pid_of()
ACCOUNT = "account/info"
DELIVERY = "sms/statuslocalmessageid"
# The gateway waits five seconds for a report.
LATE = 15.0


def asked(emulator: KavenegarEmulator, action: str) -> int:
    return sum(request.action == action for request in emulator.requests)


def test_the_account_is_asked_for_once_a_minute_by_whomever_comes_first(
    api: Api, emulator: KavenegarEmulator
) -> None:
    operators = [signed_in(api, f"192.0.2.{n}") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda operator: operator.get().text, operators))
        pages += pool.map(lambda operator: operator.get(USAGE).text, operators)
    assert asked(emulator, ACCOUNT) == 1
    assert sum("1,500,000 Rial" in page for page in pages) >= len(operators)
    assert re.search(r"As of <bdi[^>]*>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d<", pages[-1])
    assert 0 < api.redis.ttl("provider:account:turn") <= 60
    # After the minute the next page calls again.
    api.redis.delete("provider:account:turn")
    operators[0].get()
    operators[0].get()
    assert asked(emulator, ACCOUNT) == 2


def test_a_provider_that_is_silent_costs_one_page_a_few_seconds_and_is_called_unknown(
    api: Api, emulator: KavenegarEmulator
) -> None:
    operator = signed_in(api)
    # Its answer would come only after three times that time.
    emulator.set_fault(faults.slow(LATE), action=ACCOUNT)
    page = operator.get()
    assert page.status_code == 200
    assert "unknown" in page.text
    # The next page does not call, so it does not wait.
    assert "unknown" in operator.get(USAGE).text
    assert asked(emulator, ACCOUNT) == 1


def test_the_last_answer_stays_with_its_moment_when_the_next_one_fails(
    api: Api, emulator: KavenegarEmulator
) -> None:
    operator = signed_in(api)
    first = re.search(r"As of <bdi[^>]*>[^<]+", operator.get().text)
    assert first
    emulator.set_fault(faults.code(401), action=ACCOUNT)
    api.redis.delete("provider:account:turn")
    assert first[0] in operator.get().text
    assert asked(emulator, ACCOUNT) == 2


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"remaincredit": None, "expiredate": [], "type": {"a": 1}},
        {"remaincredit": "plenty", "type": "x" * 10_000},
        {"remaincredit": float("inf"), "type": 3},
    ],
    ids=["empty", "other types", "text", "no number"],
)
def test_an_unreadable_account_is_unknown(redis_client: RedisClient, entry: dict[str, object]) -> None:
    account = ProviderAccountStore(redis_client, lambda: entry).current()
    assert account
    assert account.credit is None
    assert account.kind is None or len(account.kind) <= 40


def page_of(operator: Operator, api: Api, pid: str = PID) -> str:
    """The page of a phone, after the recording of its sends."""
    recording.write()
    page = operator.get(f"{TOKENS}{pid}/")
    assert page.status_code == 200
    assert api.redis.ttl(f"provider:delivery:phone:{pid}") <= 20
    return page.text


def later(api: Api) -> None:
    """Let the reports of phones and the pause expire."""
    api.redis.delete(DELIVERY_PAUSE, provider_delivery(PID), provider_delivery(pid_of(OTHER)))


def test_without_a_provider_the_page_says_that_there_is_no_status(emulator: KavenegarEmulator) -> None:
    api = make_panel(sender=Recorder(), SMS_BACKEND="console")
    api.send()
    operator = signed_in(api)
    assert "unknown" in operator.get().text
    assert "There is no delivery status" in page_of(operator, api)
    assert emulator.requests == []


def test_the_page_queries_the_provider_about_the_last_three_sends_in_one_call(
    api: Api, emulator: KavenegarEmulator
) -> None:
    for _ in range(4):
        api.send()
    api.send(OTHER)
    page = page_of(signed_in(api), api)
    (call,) = [request for request in emulator.requests if request.action == DELIVERY]
    ours = [message.localid for message in emulator.messages_to(PHONE)]
    assert sorted(call.form["localid"].split(",")) == sorted(map(str, ours[-3:]))
    assert page.count(">Queued</td>") == 3
    assert page.count(">not queried</td>") == 1


def test_a_lookup_is_found_by_its_message_id(emulator: KavenegarEmulator) -> None:
    api = make_panel(emulator=emulator, KAVENEGAR_TEMPLATE="login")
    api.send()
    page = page_of(signed_in(api), api)
    (call,) = [request for request in emulator.requests if request.action == "sms/status"]
    assert call.form["messageid"] in emulator._by_messageid
    assert ">Handed to the carrier</td>" in page


def test_a_message_that_reached_the_phone_and_one_that_did_not(api: Api, emulator: KavenegarEmulator) -> None:
    for _ in range(3):
        api.send()
    ids = [message.localid for message in emulator.messages_to(PHONE)]
    for localid, status in zip(ids, (10, 11, 14), strict=True):
        assert localid
        emulator._by_localid[localid][0]["status"] = status
    page = page_of(signed_in(api), api)
    cells = re.findall(r">(Delivered|Not delivered[^<]*|Blocked[^<]*)</td>", page)
    # Newest first.
    assert [cell.split(":")[0] for cell in cells] == ["Blocked", "Not delivered", "Delivered"]


def test_a_message_that_the_provider_has_forgotten_is_marked(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    emulator.clear()
    assert "Not known to the provider" in page_of(signed_in(api), api)


def test_a_send_that_the_provider_refused_is_not_queried(api: Api, emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.code(418), action="sms/send")
    api.send()
    assert ">not queried</td>" in page_of(signed_in(api), api)
    assert asked(emulator, DELIVERY) == 0


def test_many_loads_of_a_page_make_one_call_in_twenty_seconds(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    operators = [signed_in(api, f"192.0.2.{n}") for n in range(8)]
    recording.write()
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda n: operators[n % 8].get(f"{TOKENS}{PID}/"), range(40)))
    assert [page.status_code for page in pages] == [200] * 40
    assert asked(emulator, DELIVERY) == 1
    assert ">Queued</td>" in pages[-1].text
    later(api)
    page_of(operators[0], api)
    assert asked(emulator, DELIVERY) == 2


def test_pages_of_many_phones_make_a_bounded_number_of_calls_a_minute(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    # Two workers or hosts.
    panels = [make_panel(redis_client, emulator=emulator) for _ in range(2)]
    phones = [f"+9891230{n:05}" for n in range(CALLS_A_MINUTE + 10)]
    for phone in phones:
        panels[0].send(phone)
    recording.write()
    operators = [signed_in(api) for api in panels]
    pages = [operators[n % 2].get(f"{TOKENS}{pid_of(phone)}/").text for n, phone in enumerate(phones)]
    assert asked(emulator, DELIVERY) == CALLS_A_MINUTE
    assert sum(">Queued</td>" in page for page in pages) == CALLS_A_MINUTE
    assert sum(">not queried</td>" in page for page in pages) == 10
    # A phone without a turn keeps none: after the minute its page calls.
    redis_client.delete(DELIVERY_CALLS)
    assert ">Queued</td>" in operators[0].get(f"{TOKENS}{pid_of(phones[-1])}/").text


@pytest.mark.parametrize(
    "fault",
    [faults.hang(), faults.drip_body(), faults.code(403), faults.html(502), faults.invalid_json()],
    ids=["silent", "slow", "refused", "page", "noise"],
)
def test_a_provider_that_does_not_answer_gets_one_call_and_the_page_is_shown(
    api: Api, emulator: KavenegarEmulator, fault: Fault
) -> None:
    for phone in (PHONE, PHONE, PHONE, OTHER):
        api.send(phone)
    operator = signed_in(api)
    emulator.set_fault(fault, action=DELIVERY)
    assert page_of(operator, api).count("Unknown: the provider does not answer") == 3
    # Neither this page nor that of another phone calls a provider that has just failed.
    assert page_of(operator, api).count("Unknown: the provider does not answer") == 3
    assert "Unknown: the provider does not answer" in page_of(operator, api, pid_of(OTHER))
    assert asked(emulator, DELIVERY) == 1
    emulator.set_fault(None)
    later(api)
    assert page_of(operator, api).count(">Queued</td>") == 3


def test_one_page_of_a_worker_waits_for_a_provider_that_hangs(api: Api, emulator: KavenegarEmulator) -> None:
    phones = [f"+9891230{n:05}" for n in range(8)]
    for phone in phones:
        api.send(phone)
    recording.write()
    operators = [signed_in(api, f"192.0.2.{n}") for n in range(8)]
    emulator.set_fault(faults.hang(), action=DELIVERY)
    done: list[str] = []

    def load(n: int) -> None:
        done.append(operators[n].get(f"{TOKENS}{pid_of(phones[n])}/").text)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, range(8)))
    assert asked(emulator, DELIVERY) == 1
    # The seven pages that did not wait came before the page that waited.
    waited = ["the provider does not answer" in page for page in done]
    assert waited == [False] * 7 + [True]


def test_a_provider_that_cannot_be_reached_is_unknown(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    make_panel(redis_client, emulator=emulator).send()
    recording.write()
    with refusing() as url:
        api = make_panel(redis_client, KAVENEGAR_API_KEY=emulator.api_key, KAVENEGAR_BASE_URL=url)
        operator = signed_in(api)
        assert "Unknown: the provider" in page_of(operator, api)
        assert "unknown" in operator.get().text
    assert asked(emulator, DELIVERY) == 0


def test_the_page_of_a_phone_without_sends_makes_no_call(api: Api, emulator: KavenegarEmulator) -> None:
    page_of(signed_in(api), api)
    assert asked(emulator, DELIVERY) == 0


def test_neither_key_nor_local_id_reaches_a_page_or_the_log(
    api: Api, emulator: KavenegarEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    api.send()
    operator = signed_in(api)
    page = operator.get().text + page_of(operator, api)
    (message,) = emulator.messages_to(PHONE)
    assert asked(emulator, DELIVERY) == 1
    for text in (page, caplog.text):
        assert emulator.api_key not in text
        assert str(message.localid) not in text
