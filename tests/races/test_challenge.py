"""One solution is one send, at any number of workers and hosts."""

from __future__ import annotations

from tests.races.support import at_once, outcomes
from tests.support.challenges import easy_solution
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import code as result_code

PHONE = "+989123456789"
SEND = "/api/v1/usr/otp"


def test_fifty_sends_at_once_with_one_solution_give_one_sms(
    gateway: Gateway, environment: dict[str, str], emulator: KavenegarEmulator
) -> None:
    body = {"phone_number": PHONE, "challenge": easy_solution(PHONE)}
    with Gateway(environment, workers=1) as other:
        hosts = [gateway, other]
        calls = [lambda h=h: h.post(SEND, body) for h in hosts * 25]
        replies = at_once(calls)  # type: ignore[arg-type]  # mypy cannot infer a lambda's default

    found = outcomes(replies)
    # A worker whose threads all wait may answer that it is busy.
    assert found["200"] == 1
    assert found["invalid_challenge"] >= 1
    assert set(found) <= {"200", "invalid_challenge", "sms_busy"}
    assert len(emulator.messages_to(PHONE)) == 1


def test_sends_that_fail_at_once_leave_the_solution_good_for_one(
    gateway: Gateway, emulator: KavenegarEmulator
) -> None:
    body = {"phone_number": PHONE, "challenge": easy_solution(PHONE)}
    emulator.fault = result_code(418)
    failed = outcomes(at_once([lambda: gateway.post(SEND, body)] * 20))
    assert failed["sms_failed"] >= 1
    assert set(failed) <= {"sms_failed", "invalid_challenge", "sms_busy"}

    emulator.fault = None
    found = outcomes(at_once([lambda: gateway.post(SEND, body)] * 20))
    assert found["200"] == 1
    assert len(emulator.messages_to(PHONE)) == 1
