"""Each fault of two providers over a real gateway: one code, one charge, and one answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.support import PHONE, SEND, VERIFY
from tests.metrics.support import scrape
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import Fault, KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until
from tests.support.two_providers import codes_to, send_calls, two_providers

# The provider has definitely sent no message, and the caller is not at fault.
REFUSES = {
    "no credit": faults.code(418),
    "a wrong key": faults.code(403, http=200),
    "our bug": faults.code(400),
    "overloaded": faults.code(409),
    "the message failed": faults.entry_status(6),
}
# It may have sent the message.
IS_UNSURE = {
    "HTML, 502": faults.html(502),
    "HTML, 403": faults.html(403),
    "HTML after a message": faults.html(502, deliver=True),
    "nothing": faults.empty(),
    "broken JSON": faults.invalid_json(),
    "no result": faults.no_return(),
    "an unknown code": faults.code(402),
    "a redirect": faults.redirect(),
    "a cut connection": faults.drop(),
    "a cut connection after a message": faults.drop(deliver=True),
    "no answer": faults.hang(),
    "no answer after a message": faults.hang(deliver=True),
    "data that comes slowly": faults.drip_body(),
    "headers that come slowly": faults.drip_headers(),
    "a body without end": faults.huge(),
}
WINDOW = "3600"


@pytest.fixture(scope="module")
def second() -> Iterator[KavenegarEmulator]:
    with KavenegarEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    server: RedisServer, running_emulator: KavenegarEmulator, second: KavenegarEmulator
) -> Iterator[Gateway]:
    variables = two_providers(
        running_emulator, second, server.url, SMS_TIMEOUT="2", OTP_SEND_BUDGET="1000/hour"
    )
    with Gateway(variables, workers=1) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(gateway: Gateway, server: RedisServer, second: KavenegarEmulator) -> None:
    """Empty state. ``gateway`` is started first."""
    del gateway
    second.clear()
    server.clear()


def charges(server: RedisServer) -> int:
    """The sends in the windows of all phones."""
    with server.client() as client:
        return sum(client.llen(key) for key in client.scan_iter("otp:*:sends"))


def budget(gateway: Gateway) -> float:
    return scrape(gateway).value("send_budget_sends", window=WINDOW)


def request_code(gateway: Gateway) -> tuple[int, str]:
    reply = gateway.post(SEND, {"phone_number": PHONE})
    return reply.status_code, reply.json().get("code", "")


def test_without_a_fault_only_the_first_provider_is_called(
    gateway: Gateway, server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    assert request_code(gateway) == (200, "")
    assert (len(emulator.messages), send_calls(second), charges(server)) == (1, 0, 1)


@pytest.mark.parametrize("fault", [*REFUSES.values(), *IS_UNSURE.values()], ids=[*REFUSES, *IS_UNSURE])
def test_after_a_fault_of_the_first_provider_the_second_sends_the_same_code(
    gateway: Gateway,
    server: RedisServer,
    emulator: KavenegarEmulator,
    second: KavenegarEmulator,
    fault: Fault,
) -> None:
    emulator.set_fault(fault, action="sms/send")
    assert request_code(gateway) == (200, "")
    emulator.set_fault(None)
    codes = codes_to(PHONE, emulator, second)
    assert len(second.messages) == 1
    assert len(set(codes)) == 1
    # One send in the windows of the phone; every message that may have gone out in the budget.
    assert charges(server) == 1
    attempts = 1 if fault in REFUSES.values() else 2
    wait_until(lambda: budget(gateway) == attempts, f"{attempts} messages in the budget")
    body = {"phone_number": PHONE, "code": codes[0]}
    assert [gateway.post(VERIFY, body).status_code for _ in range(2)] == [200, 400]
    # A send without a fault closes the breaker of the first provider.
    assert request_code(gateway) == (200, "")
    assert len(second.messages) == 1


def test_a_fault_of_the_caller_calls_no_second_provider(
    gateway: Gateway, server: RedisServer, emulator: KavenegarEmulator, second: KavenegarEmulator
) -> None:
    emulator.set_fault(faults.code(411), action="sms/send")
    assert request_code(gateway) == (502, "sms_failed")
    assert (send_calls(second), charges(server), budget(gateway)) == (0, 0, 0)


@pytest.mark.parametrize("other", REFUSES.values(), ids=REFUSES)
def test_two_providers_that_refuse_leave_redis_as_it_was(
    gateway: Gateway,
    server: RedisServer,
    emulator: KavenegarEmulator,
    second: KavenegarEmulator,
    other: Fault,
) -> None:
    emulator.set_fault(faults.code(418), action="sms/send")
    second.set_fault(faults.code(418) if other is REFUSES["the message failed"] else other)
    assert request_code(gateway) == (502, "sms_failed")
    assert (send_calls(emulator), send_calls(second), charges(server)) == (1, 1, 0)
    wait_until(lambda: budget(gateway) == 0, "the budget without a message")


@pytest.mark.parametrize(
    "case",
    [
        (faults.code(418), faults.html(502), 1),
        (faults.html(502), faults.code(418), 1),
        (faults.html(502, deliver=True), faults.drop(deliver=True), 2),
        (faults.code(418), faults.hang(), 1),
        (faults.hang(deliver=True), faults.hang(), 2),
    ],
    ids=["refused, page", "page, refused", "both unsure", "refused, silent", "both silent"],
)
def test_if_one_provider_may_have_sent_the_code_it_stays_active(
    gateway: Gateway,
    server: RedisServer,
    emulator: KavenegarEmulator,
    second: KavenegarEmulator,
    case: tuple[Fault, Fault, int],
) -> None:
    one, other, attempts = case
    emulator.set_fault(one, action="sms/send")
    second.set_fault(other)
    assert request_code(gateway) == (504, "sms_unconfirmed")
    assert charges(server) == 1
    wait_until(lambda: budget(gateway) == attempts, f"{attempts} messages in the budget")
    emulator.set_fault(None)
    second.set_fault(None)
    # The next send repeats the code.
    assert request_code(gateway) == (200, "")
    codes = codes_to(PHONE, emulator, second)
    assert len(set(codes)) == 1
    assert gateway.post(VERIFY, {"phone_number": PHONE, "code": codes[0]}).status_code == 200
