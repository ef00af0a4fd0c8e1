"""The credit watch over two real gateways of several workers each, on one Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from otp_gateway.store.keys import PROVIDER_TURN
from tests.api.support import PHONE, SEND
from tests.credit_watch.test_watch import asked, tells
from tests.metrics.support import scrape
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.gateway import environment as gateway_environment
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

WORKERS = 2


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def environment(server: RedisServer, emulator: KavenegarEmulator, **more: str) -> dict[str, str]:
    return gateway_environment(server.url, emulator, SMS_TIMEOUT="2", **more)


@pytest.fixture
def gateways(server: RedisServer, emulator: KavenegarEmulator) -> Iterator[list[Gateway]]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(Gateway(environment(server, emulator), workers=WORKERS)) for _ in range(2)
        ]
        yield started


def stop_the_minute(server: RedisServer) -> None:
    """Reserve the turn of this minute: on a busy machine, the test takes longer than a minute."""
    with server.client() as client:
        assert client.expire(PROVIDER_TURN, 3600)


def look_again(gateways: list[Gateway]) -> None:
    """Make all workers check the credit, as each does when it starts."""
    for gateway in gateways:
        before = set(gateway.workers)
        gateway.hup()
        wait_until(
            lambda g=gateway, b=before: len(g.workers) == WORKERS and not b & set(g.workers),  # type: ignore[misc]  # mypy cannot infer a lambda's default
            "the new workers",
        )


def ask_again(
    gateways: list[Gateway], server: RedisServer, emulator: KavenegarEmulator, *forgotten: str
) -> None:
    """Let a minute pass, and wait for its one query."""
    before, minutes = asked(emulator), 0
    while asked(emulator) == before and minutes < 5:
        minutes += 1
        with server.client() as client:
            client.delete(*forgotten)
        look_again(gateways)
        # An old worker may have taken the turn just before it ended: then that minute has no query.
        with suppress(TimeoutError):
            wait_until(lambda: asked(emulator) > before, "the question", timeout=8)
    stop_the_minute(server)
    # On a busy machine the query of a minute may come after the next minute has begun. No minute has two.
    assert before < asked(emulator) <= before + minutes


def warnings(gateways: list[Gateway]) -> list[str]:
    lines = [json.loads(line) for gateway in gateways for line in gateway.log().splitlines()]
    return [
        line.get("credit") or line["reason"]
        for line in lines
        if line["level"] == "warning" and line["logger"] == "otp_gateway.credit"
    ]


def test_the_provider_is_asked_once_a_minute_and_warned_of_once_an_hour(
    gateways: list[Gateway], server: RedisServer, emulator: KavenegarEmulator
) -> None:
    wait_until(lambda: scrape(gateways[0]).has("sms_credit_rials"), "the first answer")
    stop_the_minute(server)
    look_again(gateways)
    # More than four workers have checked by now.
    assert asked(emulator) == 1
    for gateway in gateways:
        assert scrape(gateway).value("sms_credit_rials") == 1_500_000
        assert scrape(gateway).value("sms_credit_minimum_rials") == 500_000
    assert warnings(gateways) == []

    emulator.set_fault(tells(4_999), action="account/info")
    ask_again(gateways, server, emulator, PROVIDER_TURN)
    # Before the next workers start: a worker that ends meanwhile may lose its warning.
    wait_until(lambda: warnings(gateways) == ["4,999 Rial"], "the warning")
    ask_again(gateways, server, emulator, PROVIDER_TURN)
    in_all = asked(emulator)
    assert warnings(gateways) == ["4,999 Rial"]
    assert {scrape(gateway).value("sms_credit_rials") for gateway in gateways} == {4_999}
    assert asked(emulator) == in_all


def test_a_refused_key_is_one_warning_and_no_hindrance(
    emulator: KavenegarEmulator, request: pytest.FixtureRequest
) -> None:
    # The very first query is refused.
    emulator.set_fault(faults.code(403), action="account/info")
    gateways: list[Gateway] = request.getfixturevalue("gateways")
    wait_until(lambda: warnings(gateways) == ["403"], "the warning")
    for gateway in gateways:
        assert gateway.post(SEND, {"phone_number": PHONE}).status_code == 200
        assert not scrape(gateway).has("sms_credit_rials")
        assert emulator.api_key not in gateway.log()


def test_a_gateway_that_started_without_redis_learns_the_credit_when_redis_comes(
    server: RedisServer, emulator: KavenegarEmulator
) -> None:
    server.kill()
    with Gateway(environment(server, emulator), workers=1) as gateway:
        # It serves, so it has checked, without success.
        assert scrape(gateway).value("redis_up") == 0
        assert asked(emulator) == 0
        server.start()
        gateway.hup()
        wait_until(lambda: scrape(gateway).value("sms_credit_rials") == 1_500_000, "the credit")
        assert asked(emulator) == 1


def test_without_a_key_the_provider_is_not_called(server: RedisServer) -> None:
    # A provider of its own: gateways of other tests may still be stopping.
    with (
        KavenegarEmulator() as emulator,
        Gateway(environment(server, emulator, KAVENEGAR_API_KEY=""), workers=1) as gateway,
    ):
        assert not scrape(gateway).has("sms_credit_rials")
        with server.client() as client:
            assert list(client.scan_iter("provider:*")) == []
        assert emulator.requests == []
