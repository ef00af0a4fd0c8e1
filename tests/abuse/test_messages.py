"""The send budget counts every message that may have gone out, also those of a second backend."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from otp_gateway.credit import GateMode
from otp_gateway.errors import StoreUnavailable
from otp_gateway.events import Batch
from otp_gateway.model import Issued, Window
from otp_gateway.store import connect, keys
from otp_gateway.store.client import RedisClient
from tests.abuse.test_gate import FREE, HOUR, PAUSED, Gate, each_new
from tests.abuse.world import World
from tests.api.support import Api, make_api
from tests.recording.support import a_send
from tests.store.bench import DAY
from tests.support import recording
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import http_error
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer
from tests.support.sms_providers import HttpCall, Provider, Sms

TWO_BACKENDS: dict[str, Any] = {
    "SMS_BACKEND": "http,kavenegar",
    "SMS_HTTP_BODY": '{"to": "{phone}", "text": "{message}"}',
}


def number(last: int) -> str:
    return f"+98912{last:07d}"


def never(call: HttpCall) -> tuple[int, Any, Sms]:
    raise AssertionError(f"the provider answers {call.path} with an error")


def sends(*attempts: int) -> Batch:
    """A batch of sends, each with so many messages that may have gone out."""
    events = [a_send(f"send-{n}", number(n), attempts=each) for n, each in enumerate(attempts)]
    return Batch("a batch", events, {})


def used(gate: Gate) -> list[int]:
    return [use.sends for use in gate.figures.budget()]


def budget(api: Api) -> float:
    """The count of the only window of the budget, as a scrape shows it."""
    recording.write()
    text = api.get("/metrics", ip="127.0.0.1").text
    (line,) = [line for line in text.splitlines() if line.startswith("otp_gateway_send_budget_sends{")]
    return float(line.split()[-1])


@pytest.fixture
def gate(redis_client: RedisClient) -> Gate:
    return Gate(redis_client, budget="20/3600;1000/86400")


def test_each_further_message_counts_in_every_window(gate: Gate) -> None:
    gate.write(sends(1, 2, 0, 3))
    assert used(gate) == [3, 3]
    gate.snapshot()


def test_a_repeated_batch_counts_no_message_twice(gate: Gate) -> None:
    gate.write(sends(2, 2))
    before = gate.snapshot()
    for _ in range(3):
        gate.write(sends(2, 2))
    gate.assert_same(before)


def test_a_lost_reply_counts_no_message_twice(redis_server: RedisServer) -> None:
    redis_server.clear()
    direct = connect(redis_server.url)
    with RedisProxy(redis_server.port) as proxy:
        gate = Gate(connect(proxy.url), direct=direct, budget="20/3600")
        gate.load()
        proxy.drop_replies(2, b"messages")
        gate.write(sends(2))
        assert proxy.dropped == 2
        assert used(gate) == [1]
        # A worker that gets no reply at all repeats the batch at its next flush.
        proxy.drop_replies(1_000, b"messages")
        batch = Batch("another", sends(3).events, {})
        with pytest.raises(StoreUnavailable):
            gate.write(batch)
        proxy.reset()
        gate.write(batch)
        assert used(gate) == [3]


def test_further_messages_leave_less_for_sends(gate: Gate) -> None:
    gate.write(sends(11))
    assert gate.decisions(5, each_new()) == [FREE] * 4 + [PAUSED]
    assert used(gate) == [14, 14]


@pytest.mark.parametrize("spans", [(60,), (HOUR, DAY), (600, HOUR, 5 * HOUR)])
def test_a_send_needs_room_in_every_window_for_all_messages_of_the_window(
    redis_server: RedisServer, spans: tuple[int, ...]
) -> None:
    windows = tuple(Window(10 * place, span) for place, span in enumerate(spans, 1))
    world = World(redis_server, credit=1_000_000, budget=windows)
    chance = random.Random(1)  # a test, which must be repeatable
    messages: list[int] = []
    sent = refused = 0
    for turn in range(400):
        number = chance.choice((0, 0, 0, 1, 2))
        world.count_messages(number)
        messages += [world.now] * number
        decision, issued = world.send(world.phone(), f"net{turn}")
        for window in windows:
            share, span = window.limit * 7 // 10, 1000 * window.seconds
            if issued:
                assert sum(at > world.now - span for at in messages) < share
        if issued:
            sent += 1
            messages.append(world.now)
        else:
            refused += 1
            assert decision == "paused"
            # A part counts until its last millisecond has left the window.
            assert any(
                sum(at > world.now - 1000 * w.seconds * 26 / 24 for at in messages) >= w.limit * 7 // 10
                for w in windows
            )
        world.go_to(
            world.now + int(1000 * chance.choice(spans) * chance.choice((0.001, 0.02, 0.04, 0.2, 1.1)))
        )
    assert min(sent, refused) > 40


def test_a_share_that_further_messages_reach_or_pass_gives_one_warning(gate: Gate) -> None:
    gate.write(sends(12))
    assert gate.warnings == [50]
    gate.write(Batch("second", sends(9).events, {}))
    assert gate.warnings == [50, 70]
    gate.write(Batch("third", sends(9).events, {}))
    assert gate.warnings == [50, 70]


def test_a_withdrawn_send_takes_only_its_own_message_out_of_the_budget(gate: Gate) -> None:
    issued = gate.send("home")
    assert isinstance(issued, Issued)
    gate.write(sends(3))
    assert used(gate) == [3, 3]
    gate.withdraw(issued, phone=gate.last_phone)
    assert used(gate) == [2, 2]


@pytest.mark.parametrize(("mode", "limits"), [("off", "20/3600"), ("on", "")])
def test_without_a_gate_or_a_budget_nothing_is_counted(
    redis_client: RedisClient, mode: GateMode, limits: str
) -> None:
    gate = Gate(redis_client, mode, budget=limits)
    gate.write(sends(2))
    assert not [key for key in gate.run("KEYS", "*") if b":call:" not in key]


def test_a_send_that_a_second_backend_sends_too_costs_two(
    redis_client: RedisClient, emulator: KavenegarEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    with Provider(never) as unsure:
        # The provider has accepted the message, but its reply does not say so.
        unsure.refuse = (500, {})
        api = make_api(
            redis_client,
            emulator=emulator,
            SMS_HTTP_URL=unsure.base_url,
            OTP_SEND_BUDGET="12/hour",
            **TWO_BACKENDS,
        )
        for last, total in enumerate((2, 4, 6)):
            assert api.send(number(last)).status_code == 200
            assert (len(unsure.calls), len(emulator.messages)) == (last + 1, last + 1)
            assert budget(api) == total
        # Both outcomes are unknown: two messages may have been sent, and the user gets 504.
        emulator.fault = http_error(500)
        assert api.send(number(3)).status_code == 504
        assert budget(api) == 8
        # 70 % of 12 are 8.
        assert api.send(number(4)).status_code == 429
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["share"] for line in lines if "share" in line] == ["50 %", "70 %"]


def test_a_backend_that_has_definitely_sent_nothing_costs_nothing(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    with Provider(never) as refusing:
        refusing.refuse = (401, {})
        api = make_api(
            redis_client,
            emulator=emulator,
            SMS_HTTP_URL=refusing.base_url,
            OTP_SEND_BUDGET="100/hour",
            **TWO_BACKENDS,
        )
        assert api.send(number(0)).status_code == 200
        assert budget(api) == 1


def test_the_keys_of_pools_and_budget_are_kept_for_as_long_as_they_count(redis_server: RedisServer) -> None:
    world = World(redis_server, budget=(Window(1_000, HOUR), Window(10_000, DAY)))
    for turn in range(400):
        _, issued = world.send(world.phone(), f"net{turn}", world.solution())
        assert issued
        ends: Any = world.redis.hmget("simulation:ends", [keys.GATE_SHARED, keys.GATE_MONEY])
        shared, money = (int(end) - world.now for end in ends)
        assert shared >= 1000 * (7 * DAY - HOUR)
        assert money >= 1000 * DAY
        world.go_to(world.now + 1000 * 59 * 37)
