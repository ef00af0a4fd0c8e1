"""What the provider says: its account once a minute, and what became of one phone's messages."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from otp_gateway.store.client import RedisClient
from otp_gateway.store.provider_account import ProviderAccountStore
from tests.admin.support import TOKENS, USAGE, make_panel, pid_of, signed_in
from tests.api.support import OTHER, PHONE, Api, Recorder
from tests.senders.support import refusing
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Fault, KavenegarEmulator

PID = pid_of()
ACCOUNT = "account/info"
DELIVERY = "sms/statuslocalmessageid"
# The reports waits five seconds; the rest is for the page.
LONGEST = 6.0


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
    # After the minute the next page asks again.
    api.redis.delete("provider:account:turn")
    operators[0].get()
    operators[0].get()
    assert asked(emulator, ACCOUNT) == 2


def test_a_provider_that_is_silent_costs_one_page_a_few_seconds_and_is_called_unknown(
    api: Api, emulator: KavenegarEmulator
) -> None:
    operator = signed_in(api)
    emulator.set_fault(faults.hang(), action=ACCOUNT)
    started = time.monotonic()
    page = operator.get()
    assert time.monotonic() - started < LONGEST
    assert page.status_code == 200
    assert "unknown" in page.text
    started = time.monotonic()
    assert "unknown" in operator.get(USAGE).text
    assert time.monotonic() - started < 1
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
def test_an_account_that_nobody_can_read_is_unknown(
    redis_client: RedisClient, entry: dict[str, object]
) -> None:
    account = ProviderAccountStore(redis_client, lambda: entry).current()
    assert account
    assert account.credit is None
    assert account.kind is None or len(account.kind) <= 40


def test_without_a_provider_nobody_is_asked(emulator: KavenegarEmulator) -> None:
    api = make_panel(sender=Recorder(), SMS_BACKEND="console")
    api.send()
    operator = signed_in(api)
    assert "unknown" in operator.get().text
    assert operator.act("delivery", PID).status_code == 404
    assert "cannot be asked" in operator.get(f"{TOKENS}{PID}/").text
    assert emulator.requests == []


def test_a_lookup_cannot_be_asked_for_by_its_local_id(emulator: KavenegarEmulator) -> None:
    api = make_panel(emulator=emulator, KAVENEGAR_TEMPLATE="login")
    api.send()
    operator = signed_in(api)
    assert operator.act("delivery", PID).status_code == 404
    # The account can.
    assert "1,500,000 Rial" in operator.get().text


def test_the_provider_is_asked_what_became_of_the_last_sends_in_one_question(
    api: Api, emulator: KavenegarEmulator
) -> None:
    for _ in range(4):
        api.send()
    api.send(OTHER)
    operator = signed_in(api)
    page = operator.act("delivery", PID).text
    (question,) = [request for request in emulator.requests if request.action == DELIVERY]
    ours = [message.localid for message in emulator.messages_to(PHONE)]
    assert question.form["localid"].split(",") == ours[-3:]
    assert page.count(">Queued</td>") == 3
    assert page.count(">not asked</td>") == 1


def test_a_message_that_reached_the_phone_and_one_that_did_not(api: Api, emulator: KavenegarEmulator) -> None:
    for _ in range(3):
        api.send()
    ids = [message.localid for message in emulator.messages_to(PHONE)]
    for localid, status in zip(ids, (10, 11, 14), strict=True):
        assert localid
        emulator._by_localid[localid][0]["status"] = status
    page = signed_in(api).act("delivery", PID).text
    cells = re.findall(r">(Delivered|Not delivered[^<]*|Blocked[^<]*)</td>", page)
    # Newest first.
    assert [cell.split(":")[0] for cell in cells] == ["Blocked", "Not delivered", "Delivered"]


def test_a_send_that_the_provider_has_forgotten_is_said_to_be(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    emulator.clear()
    assert "Not known to the provider" in signed_in(api).act("delivery", PID).text


@pytest.mark.parametrize(
    "fault",
    [faults.hang(), faults.code(403), faults.html(502), faults.invalid_json()],
    ids=["silent", "refused", "page", "noise"],
)
def test_a_provider_that_does_not_answer_leaves_the_page_quick(
    api: Api, emulator: KavenegarEmulator, fault: Fault
) -> None:
    for _ in range(3):
        api.send()
    operator = signed_in(api)
    emulator.set_fault(fault, action=DELIVERY)
    started = time.monotonic()
    page = operator.act("delivery", PID)
    assert time.monotonic() - started < LONGEST
    assert page.status_code == 200
    assert page.text.count("Unknown: the provider does not answer") == 3


def test_a_provider_that_is_gone_is_unknown_at_once(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    with refusing() as url:
        api = make_panel(redis_client, Recorder(), KAVENEGAR_API_KEY=emulator.api_key, KAVENEGAR_BASE_URL=url)
        api.send()
        operator = signed_in(api)
        started = time.monotonic()
        assert "unknown" in operator.get().text
        assert "Unknown: the provider" in operator.act("delivery", PID).text
        assert time.monotonic() - started < LONGEST


def test_a_phone_without_sends_asks_nobody(api: Api, emulator: KavenegarEmulator) -> None:
    assert signed_in(api).act("delivery", PID).status_code == 200
    assert asked(emulator, DELIVERY) == 0


def test_neither_key_nor_local_id_reaches_a_page_or_the_log(
    api: Api, emulator: KavenegarEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    api.send()
    operator = signed_in(api)
    page = operator.get().text + operator.act("delivery", PID).text
    (message,) = emulator.messages_to(PHONE)
    for text in (page, caplog.text):
        assert emulator.api_key not in text
        assert str(message.localid) not in text
