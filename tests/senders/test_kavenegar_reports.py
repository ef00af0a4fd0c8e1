"""Calls to the provider that are not sends."""

from __future__ import annotations

import json
import time

import pytest

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed
from otp_gateway.messages import Receipt
from otp_gateway.senders.kavenegar.codes import DELIVERY_STATES, state_label, state_words
from otp_gateway.senders.kavenegar.reports import REPLY_SECONDS, KavenegarReports
from tests.conftest import make_settings
from tests.senders.support import (
    KEY,
    REFERENCE,
    TEMPLATE,
    Timed,
    bounded,
    message_to,
    refusing,
    reply,
    sender_to,
    silent,
)
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator


def reports_at(url: str, **variables: object) -> KavenegarReports:
    reports = KavenegarReports.from_settings(
        make_settings(KAVENEGAR_API_KEY=KEY, KAVENEGAR_BASE_URL=url, **variables)
    )
    assert reports
    return reports


def sender_at(url: str, **variables: object) -> Timed:
    return sender_to(url, **variables)


@pytest.mark.parametrize(
    "variables",
    [{}, {"SMS_BACKEND": "console"}, {"SMS_BACKEND": "console", "KAVENEGAR_API_KEY": KEY}],
    ids=["no key", "console", "console with a key"],
)
def test_without_kavenegar_there_are_no_reports(variables: dict[str, object]) -> None:
    assert KavenegarReports.from_settings(make_settings(**variables)) is None


def test_the_account_is_as_the_provider_reports_it(emulator: KavenegarEmulator) -> None:
    account = reports_at(emulator.base_url).account()
    assert account == {"remaincredit": 1_500_000, "expiredate": 13_548_889, "type": "master"}


def test_a_message_is_found_by_the_number_that_it_was_sent_with(emulator: KavenegarEmulator) -> None:
    reports = reports_at(emulator.base_url)
    sender_at(emulator.base_url).send(message_to(reference=REFERENCE))
    assert reports.states([REFERENCE, 7]) == {REFERENCE: 1, 7: 100}


def test_a_lookup_is_found_by_its_message_id(emulator: KavenegarEmulator) -> None:
    reports = reports_at(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE)
    receipt = sender_at(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE).send(message_to(reference=REFERENCE))
    assert receipt
    number = reports.number_of(REFERENCE, receipt.message_id)
    assert number == int(receipt.message_id)
    assert reports.states([number, 7]) == {number: 5, 7: 100}
    # A lookup without a receipt has no number: the provider is not queried about it.
    assert reports.number_of(REFERENCE, "") is None


@pytest.mark.parametrize("status", [*DELIVERY_STATES, 3, 0, -1, 999])
def test_every_state_has_words(emulator: KavenegarEmulator, status: int) -> None:
    sender_at(emulator.base_url).send(message_to(reference=REFERENCE))
    emulator._by_localid[str(REFERENCE)][0]["status"] = status
    (state,) = reports_at(emulator.base_url).states([REFERENCE]).values()
    row = DELIVERY_STATES.get(status)
    assert state_words(state, state) == (row.words if row else f"State {status}")
    assert state_label(state) == (row.label if row else "other")


@pytest.mark.parametrize(
    "entries",
    [None, {}, "x", 3, [None], ["x"], [[]], [{}, 3]],
    ids=["null", "object", "text", "number", "nulls", "texts", "lists", "mixed"],
)
def test_an_answer_of_another_shape_is_no_answer(emulator: KavenegarEmulator, entries: object) -> None:
    body = json.dumps({"return": {"status": 200, "message": ""}, "entries": entries}).encode()
    emulator.set_fault(reply(body))
    with pytest.raises(SmsUnconfirmed):
        reports_at(emulator.base_url).states([REFERENCE])


@pytest.mark.parametrize("entries", [None, [], "x", [3]], ids=["null", "empty", "text", "numbers"])
def test_an_account_of_another_shape_is_no_answer(emulator: KavenegarEmulator, entries: object) -> None:
    body = json.dumps({"return": {"status": 200, "message": ""}, "entries": entries}).encode()
    emulator.set_fault(reply(body))
    with pytest.raises(SmsUnconfirmed):
        reports_at(emulator.base_url).account()


def test_an_answer_about_another_message_is_none_about_ours(emulator: KavenegarEmulator) -> None:
    entries = [{"localid": "9", "status": 10}, {"status": 10}, {"localid": None, "status": 10}]
    body = json.dumps({"return": {"status": 200}, "entries": entries}).encode()
    emulator.set_fault(reply(body))
    assert reports_at(emulator.base_url).states([8, 9]) == {9: 10}


@pytest.mark.parametrize("code", [401, 403, 418])
def test_a_refusal_is_an_error_without_the_key(emulator: KavenegarEmulator, code: int) -> None:
    emulator.set_fault(faults.code(code))
    with pytest.raises(SmsFailed) as caught:
        reports_at(emulator.base_url).account()
    assert caught.value.provider_code == code
    assert KEY not in repr(caught.value)
    assert KEY not in str(caught.value)


def test_a_silent_provider_is_given_up_after_five_seconds() -> None:
    with silent() as url, bounded(REPLY_SECONDS):
        started = time.monotonic()
        with pytest.raises(SendFailed):
            reports_at(url).states([1, 2, 3])
        assert time.monotonic() - started >= REPLY_SECONDS - 1


def test_a_provider_that_is_gone_is_known_at_once() -> None:
    with refusing() as url, bounded(0), pytest.raises(SmsFailed):
        reports_at(url).account()


def test_the_receipt_has_cost_and_message_id(emulator: KavenegarEmulator) -> None:
    receipt = sender_at(emulator.base_url).send(message_to(reference=1))
    (message_id,) = emulator._by_messageid
    assert receipt == Receipt("kavenegar", cost=120, message_id=message_id)


def test_a_lookup_has_a_receipt_too(emulator: KavenegarEmulator) -> None:
    sender = sender_at(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE)
    receipt = sender.send(message_to(reference=1))
    assert (receipt.cost, receipt.message_id in emulator._by_messageid) == (120, True)


def test_a_refusal_names_the_backend_and_has_no_message(emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.code(418))
    with pytest.raises(SmsFailed) as caught:
        sender_at(emulator.base_url).send(message_to(reference=1))
    assert (caught.value.backend, caught.value.message_id) == ("kavenegar", "")


def test_a_message_that_the_provider_took_and_then_blocked_has_its_id(emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.entry_status(14))
    with pytest.raises(SmsFailed) as caught:
        sender_at(emulator.base_url).send(message_to(reference=1))
    assert caught.value.message_id.isdigit()


def test_a_repeated_send_of_one_message_costs_once(emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.html(502, deliver=True), times=1)
    receipt = sender_at(emulator.base_url).send(message_to(reference=1))
    assert len(emulator.messages) == 1
    assert receipt.cost == 120
