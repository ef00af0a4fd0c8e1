"""The member ``challenge`` of a send: when it is checked, how much it costs, and when it is used up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import TestResponse

from otp_gateway.abuse.challenge import HARDEST, STEPS
from otp_gateway.errors import ChallengeRequired, SmsFailed, SmsUnconfirmed
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import (
    HOME,
    OTHER,
    PHONE,
    SEND,
    Api,
    Recorder,
    assert_problem,
    keys_of,
    make_api,
    retry_after,
    set_failures,
)
from tests.support.challenges import easy_challenge, easy_solution, encoded, solved
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

NONSENSE = "bm9uc2Vuc2U="
KEY = {"Idempotency-Key": "a-key-of-sixteen-characters"}
WORDS = "The solution of the challenge is wrong, expired or used"


@pytest.fixture
def api(redis_client: RedisClient, sender: Recorder) -> Api:
    return make_api(redis_client, sender)


def send(api: Api, challenge: object, phone: str = PHONE, **options: Any) -> TestResponse:
    return api.post(SEND, {"phone_number": phone, "challenge": challenge}, **options)


def refused(reply: TestResponse) -> dict[str, Any]:
    """The new challenge of a refused solution."""
    challenge: dict[str, Any] = assert_problem(reply, 400, "invalid_challenge", WORDS, ["challenge"])[
        "challenge"
    ]
    assert "Retry-After" not in reply.headers
    return challenge


def test_a_solution_that_was_not_asked_for_is_good_for_one_send(api: Api, sender: Recorder) -> None:
    solution = easy_solution(PHONE)

    assert send(api, solution).status_code == 200
    refused(send(api, solution))
    assert len(sender.sent) == 1


def test_the_challenge_of_a_refusal_leads_to_a_send(api: Api, sender: Recorder) -> None:
    used = easy_solution(PHONE)
    send(api, used)

    new = refused(send(api, used))
    assert send(api, encoded(solved(new))).status_code == 200
    assert len(sender.sent) == 2


@pytest.mark.parametrize("challenge", ["", NONSENSE, "\ud800", "\0", "A" * 7_000, "۱۲۳"])
def test_a_wrong_solution_is_refused_and_costs_the_phone_nothing(
    api: Api, sender: Recorder, challenge: str
) -> None:
    new = refused(send(api, challenge))

    assert new["parameters"]["data"]["attempts"] == STEPS[HARDEST]
    assert sender.sent == []
    assert list(api.redis.scan_iter("otp:*")) == []


@pytest.mark.parametrize("challenge", [None, 1, True, [], {}, ["x"]])
def test_a_challenge_that_is_no_text_is_an_invalid_request(api: Api, challenge: object) -> None:
    assert_problem(send(api, challenge), 400, "invalid_request", members=["errors"])


def test_the_solution_of_another_phone_is_refused(api: Api, sender: Recorder) -> None:
    refused(send(api, easy_solution(OTHER)))
    assert send(api, easy_solution(OTHER), OTHER).status_code == 200
    assert len(sender.sent) == 1


def test_every_way_to_write_the_number_is_the_same_phone(api: Api) -> None:
    assert send(api, easy_solution(PHONE), "۰۹۱۲ ۳۴۵ ۶۷۸۹").status_code == 200


def test_an_expired_solution_is_refused_with_a_challenge_as_hard(api: Api) -> None:
    assert send(api, easy_solution(PHONE, age_ms=115_000)).status_code == 200
    new = refused(send(api, easy_solution(PHONE, age_ms=121_000)))
    assert new["parameters"]["data"]["attempts"] == STEPS[0]


# The embedded store uses the worker's clock.
@pytest.mark.parametrize("redis_client", ["redis"], indirect=True)
def test_the_clock_of_the_worker_does_not_matter(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    solution, now = easy_solution(PHONE), time.time()
    monkeypatch.setattr("time.time", lambda: now + 86_400)
    assert send(api, solution).status_code == 200


def test_the_log_has_the_reason_and_nothing_of_the_challenge(capsys: pytest.CaptureFixture[str]) -> None:
    # The log goes to the stream that was set when the application was made.
    api = make_api()
    solution = easy_solution(PHONE)
    send(api, solution)
    new = refused(send(api, solution))

    log = capsys.readouterr().err
    last = json.loads(log.splitlines()[-1])
    assert (last["error"], last["reason"]) == ("invalid_challenge", "used")
    for secret in (solution, new["signature"], new["parameters"]["nonce"]):
        assert secret not in log


# Order of the checks.


def test_body_and_number_are_checked_before_the_solution(api: Api) -> None:
    assert_problem(send(api, NONSENSE, "12"), 400, "invalid_phone_number")
    reply = api.post(SEND, {"phone_number": PHONE, "challenge": NONSENSE, "channel": "pigeon"})
    assert_problem(reply, 400, "invalid_request", members=["errors"])


def test_the_solution_is_checked_before_a_thread_is_taken(api: Api) -> None:
    slots = api.app.extensions["send_slots"]
    slots.set_threads(1)
    with slots.take():
        refused(send(api, NONSENSE))
        solution = easy_solution(PHONE)
        assert_problem(send(api, solution), 503, "sms_busy")
    assert send(api, solution).status_code == 200


def test_the_solution_is_checked_before_the_limits_of_the_phone(api: Api) -> None:
    set_failures(api.redis, keys_of(PHONE), 50)
    refused(send(api, NONSENSE))
    solution = easy_solution(PHONE)
    assert_problem(send(api, solution), 429, "too_many_attempts")
    api.redis.delete(keys_of(PHONE).tries)
    assert send(api, solution).status_code == 200


def test_a_full_window_does_not_use_the_solution(api: Api) -> None:
    for _ in range(3):
        api.send()
    solution = easy_solution(PHONE)
    assert_problem(send(api, solution), 429, "too_many_otp_requests")
    api.redis.delete(keys_of(PHONE).sends)
    assert send(api, solution).status_code == 200


# Sends that fail, and requests that are repeated.


def test_a_send_that_failed_leaves_the_solution_good(api: Api, sender: Recorder) -> None:
    solution = easy_solution(PHONE)
    sender.fault = SmsFailed("refused")
    assert_problem(send(api, solution), 502, "sms_failed")
    sender.fault = None
    assert send(api, solution).status_code == 200
    refused(send(api, solution))


def test_a_send_that_may_have_gone_out_uses_the_solution(api: Api, sender: Recorder) -> None:
    solution = easy_solution(PHONE)
    sender.fault = SmsUnconfirmed("timeout")
    assert_problem(send(api, solution), 504, "sms_unconfirmed")
    sender.fault = None
    refused(send(api, solution))


def test_a_repeat_with_its_key_is_answered_before_the_solution_is_looked_at(
    api: Api, sender: Recorder
) -> None:
    # The solution expires between the two requests.
    solution = easy_solution(PHONE, age_ms=118_400)
    first = send(api, solution, headers=KEY)
    assert first.status_code == 200
    time.sleep(1.7)
    refused(send(api, solution))

    repeat = send(api, solution, headers=KEY)

    assert repeat.status_code == 200
    assert repeat.json == first.json | {"expires_in": repeat.json["expires_in"]}  # type: ignore[index,operator]  # both are objects
    assert len(sender.sent) == 1


@pytest.mark.parametrize("challenge", [NONSENSE, "\ud800", "\0", None])
def test_the_same_key_with_another_solution_is_another_body(api: Api, challenge: str | None) -> None:
    send(api, easy_solution(PHONE), headers=KEY)
    body = {"phone_number": PHONE} | ({} if challenge is None else {"challenge": challenge})
    assert_problem(api.post(SEND, body, headers=KEY), 422, "idempotency_key_reused")
    assert_problem(send(api, easy_solution(PHONE), headers=KEY), 422, "idempotency_key_reused")


def test_a_refusal_is_not_kept_so_the_solution_can_follow_under_the_same_key(api: Api) -> None:
    refused(send(api, NONSENSE, headers=KEY))
    assert send(api, easy_solution(PHONE), headers=KEY).status_code == 200


def test_a_challenge_that_the_gate_asks_for_is_a_429_with_a_hint(api: Api, sender: Recorder) -> None:
    challenge = easy_challenge("p" * 22, int(time.time() * 1000))
    sender.fault = ChallengeRequired(challenge)
    reply = api.send()
    body = assert_problem(
        reply, 429, "challenge_required", "Solve the challenge and try again", ["challenge"]
    )
    assert body["challenge"] == challenge
    assert retry_after(reply) == 60


@pytest.fixture
def behind_a_proxy(redis_server: RedisServer) -> Iterator[tuple[Api, RedisProxy]]:
    redis_server.clear()
    with RedisProxy(redis_server.port) as proxy:
        yield make_api(connect(proxy.url), Recorder()), proxy


def test_a_solution_costs_no_more_round_trips(behind_a_proxy: tuple[Api, RedisProxy]) -> None:
    api, proxy = behind_a_proxy
    api.send(OTHER)

    def trips(challenge: str, **options: Any) -> int:
        before: int = proxy.seen()
        send(api, challenge, **options)
        return proxy.seen() - before

    solution = easy_solution(PHONE)
    assert trips(solution) == 2
    assert trips(solution) == 2
    assert trips(NONSENSE) == 1
    # Redis has to look for an earlier request with this key.
    assert trips(NONSENSE, headers=KEY) == 2
    assert trips(easy_solution(PHONE), headers=KEY) == 3


def test_of_many_sends_at_once_with_one_solution_one_goes_out(redis_server: RedisServer) -> None:
    redis_server.clear()
    sender = Recorder(seconds=0.05)
    api = make_api(connect(redis_server.url), sender, OTP_PHONE_LIMITS="100/minute")
    solution = easy_solution(PHONE)

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda n: send(api, solution, ip=f"{HOME}{n % 10}"), range(24)))

    assert sorted(reply.status_code for reply in replies) == [200] + [400] * 23
    assert len(sender.sent) == 1
