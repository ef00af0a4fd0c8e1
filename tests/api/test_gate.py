"""The send gate in replies to clients, in the log and in the metrics."""

from __future__ import annotations

import json
import time
from typing import Any
from unittest.mock import patch

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otp_gateway.errors import SmsFailed
from otp_gateway.store.client import RedisClient
from otp_gateway.store.pauses import Pauses
from tests.api.support import (
    OTHER,
    PHONE,
    SEND,
    Api,
    Recorder,
    assert_problem,
    keys_of,
    make_api,
    retry_after,
)
from tests.support.challenges import encoded, solved

PAUSED = "No codes are sent at the moment"
KEY = {"Idempotency-Key": "a-key-of-sixteen-characters"}


def number(last: int) -> str:
    return f"+98912{last:07d}"


def fill(api: Api, sends: int = 6, **options: Any) -> None:
    """Use up the credit of the client's network."""
    for last in range(sends):
        assert api.send(number(last), **options).status_code == 200


def solution(api: Api, phone: str, **options: Any) -> str:
    """The solution of the challenge that the gateway demands for this phone."""
    with patch("otp_gateway.abuse.challenge.secrets.randbelow", lambda _: 3):
        reply = api.send(phone, **options)
    body = assert_problem(
        reply, 429, "challenge_required", "Solve the challenge and try again", ["challenge"]
    )
    assert retry_after(reply) == 60
    return encoded(solved(body["challenge"]))


def decisions(api: Api) -> dict[tuple[str, str], float]:
    text = api.get("/metrics", ip="127.0.0.1").text
    return {
        (sample.labels["mode"], sample.labels["decision"]): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
        if sample.name == "otp_gateway_gate_decisions_total"
    }


def test_without_credit_a_send_needs_a_solved_challenge(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_GATE="on")
    fill(api)
    found = solution(api, PHONE)
    assert len(sender.sent) == 6
    assert api.post(SEND, {"phone_number": PHONE, "challenge": found}).status_code == 200
    assert len(sender.sent) == 7
    reply = api.post(SEND, {"phone_number": PHONE, "challenge": found})
    assert_problem(
        reply,
        400,
        "invalid_challenge",
        "The solution of the challenge is wrong, expired or used",
        ["challenge"],
    )


def test_a_network_without_challenges_left_is_paused(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_GATE="on")
    fill(api)
    for last in range(100, 103):
        found = solution(api, number(last))
        assert api.post(SEND, {"phone_number": number(last), "challenge": found}).status_code == 200
    reply = api.post(SEND, {"phone_number": PHONE, "challenge": solution(api, PHONE)})
    assert_problem(reply, 429, "sending_paused", PAUSED)
    assert retry_after(reply) == 3600


def test_no_reply_shows_how_full_a_bucket_is(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_GATE="on")
    replies = []
    for last in range(12):
        reply = api.send(number(last))
        headers = {name for name, _ in reply.headers}
        replies.append((reply.status_code, frozenset(headers), frozenset(reply.json or {})))
    assert len(set(replies)) == 2, "one kind of reply with credit, one without"


def test_a_send_that_fails_gives_its_credit_back(redis_client: RedisClient) -> None:
    sender = Recorder(SmsFailed("refused"))
    api = make_api(redis_client, sender, OTP_GATE="on", OTP_SEND_BUDGET="100/hour")
    for last in range(20):
        assert api.send(number(last)).status_code == 502
    sender.fault = None
    fill(api)
    solution(api, PHONE)


def test_a_keyed_repeat_gets_the_outcome_without_credit(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_GATE="on")
    first = api.send(PHONE, headers=KEY)
    fill(api, 5)
    again = api.send(PHONE, headers=KEY)
    assert (first.status_code, again.status_code) == (200, 200)
    solution(api, OTHER)


def test_the_login_of_a_user_gives_credit_back_within_seconds(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_GATE="on")
    fill(api, 5)
    assert api.send(PHONE).status_code == 200
    assert api.verify(PHONE, sender.code_for(PHONE)).status_code == 200
    deadline = time.monotonic() + 20
    while api.send(OTHER).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert api.send(number(999)).status_code == 200, "one for the send, one for the first login of the day"
    solution(api, number(1000))


def test_observe_refuses_no_send_and_counts_those_that_on_would_refuse(
    redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    api = make_api(redis_client)
    fill(api, 8)
    assert decisions(api) == {("observe", "free"): 6, ("observe", "challenge"): 2}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    noted = [line["gate"] for line in lines if line.get("route") == SEND]
    assert noted == ["free"] * 6 + ["challenge"] * 2


def test_the_log_and_the_metric_show_each_decision(
    redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_GATE="on", OTP_SEND_BUDGET="13/hour")
    fill(api)
    found = solution(api, PHONE)
    sender.fault = SmsFailed("refused")
    assert api.post(SEND, {"phone_number": PHONE, "challenge": found}).status_code == 502
    sender.fault = None
    assert api.post(SEND, {"phone_number": PHONE, "challenge": found}).status_code == 200
    for last in range(100, 102):
        api.post(SEND, {"phone_number": number(last), "challenge": solution(api, number(last))})
    reply = api.send(OTHER)
    assert_problem(reply, 429, "sending_paused", PAUSED)
    counted = {decision: number for (_, decision), number in decisions(api).items()}
    assert counted == {"free": 6, "challenge": 3, "solved": 4, "paused": 1}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    sends = [line for line in lines if line.get("route") == SEND]
    noted = [(line["status"], line["gate"], line.get("reason")) for line in sends]
    assert noted[6:9] == [(429, "challenge", None), (502, "solved", "refused"), (200, "solved", None)]
    assert noted[-1] == (429, "paused", "budget")
    warnings = [line["share"] for line in lines if line["level"] == "warning" and "share" in line]
    assert warnings == ["50 %", "70 %"]


def test_the_scrape_shows_the_budget(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_SEND_BUDGET="10/hour;40/day")
    fill(api, 3)
    text = api.get("/metrics", ip="127.0.0.1").text
    for window, limit in ((3600, 10), (86_400, 40)):
        assert f'otp_gateway_send_budget_sends{{window="{window}"}} 3.0' in text
        assert f'otp_gateway_send_budget_limit{{window="{window}"}} {limit}.0' in text


def test_console_messages_cost_nothing_and_have_no_gate(redis_client: RedisClient) -> None:
    api = make_api(redis_client, SMS_BACKEND="console", OTP_GATE="on", OTP_SEND_BUDGET="2/hour")
    fill(api, 10)
    assert decisions(api) == {}


def test_a_muted_phone_and_a_paused_prefix_are_refused_whatever_the_mode(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_GATE="off")
    pauses = Pauses(redis_client)
    pauses.start("phone", keys_of(PHONE).pid, 3600, "+98912***6789")
    assert_problem(api.send(PHONE), 429, "sending_paused", PAUSED)
    assert api.send(OTHER).status_code == 200
    pauses.start("prefix", "+98935", 3600)
    found = solution(api, OTHER)
    assert api.post(SEND, {"phone_number": OTHER, "challenge": found}).status_code == 200


def test_windows_come_before_the_gate_and_the_form_of_a_solution_first(
    redis_client: RedisClient,
) -> None:
    api = make_api(redis_client, OTP_GATE="on", OTP_GATE_CREDIT="3")
    for _ in range(3):
        assert api.send(PHONE).status_code == 200
    assert_problem(api.send(PHONE), 429, "too_many_otp_requests", "Too many OTP requests")
    solution(api, OTHER)
    reply = api.post(SEND, {"phone_number": PHONE, "challenge": "bm9uc2Vuc2U="})
    assert reply.json
    assert reply.json["code"] == "invalid_challenge"
