"""Key, credit, account and sending are checked with every state of the provider. The check sends no SMS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from otp_gateway.checks.kavenegar import explain
from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.senders.kavenegar import reports
from otp_gateway.senders.kavenegar.codes import OTHER_ADVICE, RESULT_CODES
from tests.checks.support import checked, provider
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Call, Fault, KavenegarEmulator, Reply, envelope
from tests.support.servers import free_port


def account(**entry: Any) -> Fault:
    """An account with fields that the test sets."""
    return lambda call: call.send(Reply.of(envelope(200, entry), 200))


def test_a_good_account_is_fine_and_asked_once_and_sent_nothing(emulator: KavenegarEmulator) -> None:
    report = checked(**provider(emulator), KAVENEGAR_SENDER="10008663")
    assert report.of("sms") == "ok"
    assert report["credit"] == ("ok", "1,500,000 Rial, at least 500,000")
    assert report.of("sender") == "ok"
    assert "line 10008663" in report["sender"][1]
    assert "flask otp send" in report["sender"][1]
    # The emulator's expiry date of the account, from the provider's document, is not a real one.
    assert "account" not in report.names
    assert [request.action for request in emulator.requests] == ["account/info"]
    assert emulator.messages == []
    assert emulator.api_key not in report.output


def test_no_key_and_a_console_are_faults(emulator: KavenegarEmulator) -> None:
    assert "KAVENEGAR_API_KEY is not set" in checked()["sms"][1]
    assert checked().of("sms") == "fault"
    status, message = checked(**provider(emulator), SMS_BACKEND="console")["sms"]
    assert status == "fault"
    assert "SMS_BACKEND=console" in message
    assert emulator.requests == []


@pytest.mark.parametrize(
    "code", sorted(code for code, row in RESULT_CODES.items() if row.advice != OTHER_ADVICE)
)
def test_each_refusal_comes_with_its_number_and_advice(emulator: KavenegarEmulator, code: int) -> None:
    emulator.fault = faults.code(code)
    report = checked(**provider(emulator))
    assert report["sms"] == ("fault", f"Kavenegar answers {code}: {RESULT_CODES[code].advice}")
    assert report.exit_code == 1


def test_a_wrong_key_is_reported_without_showing_it(emulator: KavenegarEmulator) -> None:
    report = checked(**provider(emulator) | {"KAVENEGAR_API_KEY": "no-such-key"})
    assert report["sms"][1].startswith("Kavenegar answers 403: KAVENEGAR_API_KEY is not known")
    assert "no-such-key" not in report.output


@pytest.mark.parametrize(
    "fault",
    [
        faults.html(),
        faults.empty(),
        faults.invalid_json(),
        faults.no_return(),
        faults.drop(),
        faults.redirect(),
        faults.huge(2),
        faults.code(200, as_text=True),
        lambda call: call.send(Reply.of(envelope(200, None), 200)),
        lambda call: call.send(Reply.of(envelope(200, []), 200)),
        lambda call: call.send(Reply.of(envelope(200, "credit"), 200)),
        lambda call: call.send(Reply(200, b"[" * 100_000)),
        lambda call: call.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
        account(remaincredit="\x1b[2J much", expiredate={}),
        account(remaincredit=[1], expiredate=float("inf")),
        account(remaincredit=10**4000),
    ],
)
def test_whatever_answers_the_rest_is_still_looked_at(
    emulator: KavenegarEmulator, fault: Callable[[Call], None]
) -> None:
    emulator.fault = fault
    report = checked(**provider(emulator))
    assert report.of("sms") in ("ok", "fault")
    assert report.names[-3:] == ["cookies", "https", "proxies"]
    assert emulator.api_key not in report.output


@pytest.mark.parametrize("fault", [faults.hang(), faults.drip_headers(1), faults.drip_body(1)])
def test_a_provider_that_hangs_or_drips_is_given_up(
    emulator: KavenegarEmulator, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(reports, "REPLY_SECONDS", 1.0)
    emulator.fault = fault
    began = time.monotonic()
    status, message = checked(**provider(emulator))["sms"]
    assert status == "fault"
    assert "in time" in message
    # Not a measurement: the faults last for more than a minute.
    assert time.monotonic() - began < 30


def test_a_provider_that_is_not_there_is_a_fault() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    status, message = checked(KAVENEGAR_API_KEY="a-key", KAVENEGAR_BASE_URL=url)["sms"]
    assert status == "fault"
    assert "KAVENEGAR_BASE_URL" in message


def test_a_provider_without_tls_where_tls_is_asked_for_is_a_fault(emulator: KavenegarEmulator) -> None:
    url = emulator.base_url.replace("http://", "https://")
    status, message = checked(KAVENEGAR_API_KEY="a-key", KAVENEGAR_BASE_URL=url)["sms"]
    assert status == "fault"
    assert "certificate" in message


def test_credit_below_the_threshold_is_a_fault(emulator: KavenegarEmulator) -> None:
    low = checked(**provider(emulator), KAVENEGAR_MIN_CREDIT=1_500_001)
    assert low["credit"] == ("fault", "1,500,000 Rial, below KAVENEGAR_MIN_CREDIT=1,500,001: top it up")
    assert low.exit_code == 1
    assert checked(**provider(emulator), KAVENEGAR_MIN_CREDIT=1_500_000).of("credit") == "ok"
    emulator.fault = account(remaincredit=0)
    assert checked(**provider(emulator), KAVENEGAR_MIN_CREDIT=0).of("credit") == "ok"


def test_credit_that_is_not_reported_is_a_warning(emulator: KavenegarEmulator) -> None:
    emulator.fault = account(expiredate=0)
    assert checked(**provider(emulator)).of("credit") == "warning"


@pytest.mark.parametrize(
    ("days", "status"), [(-1, "fault"), (0.5, "warning"), (6, "warning"), (8, "ok"), (400, "ok")]
)
def test_an_account_that_ends_is_reported(emulator: KavenegarEmulator, days: float, status: str) -> None:
    emulator.fault = account(remaincredit=10**6, expiredate=int(time.time() + days * 86_400))
    assert checked(**provider(emulator)).of("account") == status


def test_the_way_of_sending_is_named(emulator: KavenegarEmulator) -> None:
    names = provider(emulator)
    assert "verify/lookup with login" in checked(**names, KAVENEGAR_TEMPLATE="login")["template"][1]
    status, message = checked(**names, KAVENEGAR_SENDER="")["sender"]
    assert (status, "own line" in message) == ("ok", True)
    status, message = checked(**names, KAVENEGAR_SENDER="MyBrand")["sender"]
    assert (status, "MyBrand" in message) == ("warning", True)


@pytest.mark.parametrize("reason", ["unreachable", "tls", "timeout", "unreadable", "dropped", "receptor"])
def test_every_failure_says_what_to_do(reason: str) -> None:
    words = explain(SmsUnconfirmed(reason))
    assert ": " in words
    assert "look" in words or "try" in words


def test_the_state_of_a_message_is_reported_in_words() -> None:
    assert "Blocked" in explain(SmsFailed("entry", provider_code=14))
    # A state is not a result code, even if the numbers are equal.
    assert RESULT_CODES[418].advice not in explain(SmsUnconfirmed("entry", provider_code=418))
