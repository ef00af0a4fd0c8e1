"""A client that repeats a request with its ``Idempotency-Key`` gets the outcome of the first one."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.store.client import RedisClient
from tests.api.support import PHONE, SEND, VERIFY, Api, Recorder, keys_of, make_api

KEY = "a-key-of-sixteen-characters"
REFRESH = "/api/v1/usr/token/refresh"
ROOMY = {"OTP_IP_LIMITS": "1000/minute", "TOKEN_IP_LIMITS": "1000/minute"}


@pytest.fixture
def sender() -> Recorder:
    return Recorder()


@pytest.fixture
def api(redis_client: RedisClient, sender: Recorder) -> Api:
    return make_api(redis_client, sender, **ROOMY)  # type: ignore[arg-type]  # settings only


def post(api: Api, path: str, body: dict[str, Any], key: str | None = KEY) -> TestResponse:
    return api.post(path, body, headers={"Idempotency-Key": key} if key is not None else {})


def send(api: Api, key: str | None = KEY, **more: str) -> TestResponse:
    return post(api, SEND, {"phone_number": PHONE, **more}, key)


def verify(api: Api, code: str, key: str | None = KEY) -> TestResponse:
    return post(api, VERIFY, {"phone_number": PHONE, "code": code}, key)


def code_of(reply: TestResponse) -> str:
    assert reply.json
    code: str = reply.json["code"]
    return code


@pytest.mark.parametrize(
    "key",
    [
        "short",
        "a" * 15,
        "a" * 129,
        "with a blank in it",
        "with,comma-in-the-middle",
        '"not-closed-anywhere',
        "",
    ],
)
def test_a_malformed_key_is_an_invalid_request_and_costs_nothing(
    api: Api, sender: Recorder, key: str
) -> None:
    reply = send(api, key)
    assert reply.status_code == 400
    assert code_of(reply) == "invalid_request"
    assert reply.json
    assert list(reply.json["errors"]) == ["Idempotency-Key"]
    assert sender.sent == []


@pytest.mark.parametrize("key", ["a" * 16, "a" * 128, "aZ0._~-aZ0._~-aZ0", f'"{KEY}"'])
def test_a_key_of_the_documented_characters_is_taken(api: Api, key: str) -> None:
    assert send(api, key).status_code == 200


def test_a_bare_and_a_quoted_key_are_one(api: Api, sender: Recorder) -> None:
    assert send(api).status_code == send(api, f'"{KEY}"').status_code == 200
    assert len(sender.sent) == 1


def test_a_repeated_send_is_one_sms_and_one_charge(api: Api, sender: Recorder) -> None:
    first, second = send(api), send(api)
    assert first.status_code == second.status_code == 200
    assert first.json
    assert second.json
    assert second.json["phone_number"] == first.json["phone_number"]
    assert abs(second.json["expires_in"] - first.json["expires_in"]) <= 2
    assert len(sender.sent) == 1
    assert api.redis.llen(keys_of(PHONE).sends) == 1


def test_the_same_key_with_another_body_is_422(api: Api, sender: Recorder) -> None:
    api = make_api(api.redis, sender, KAVENEGAR_TEMPLATE="x", **ROOMY)  # type: ignore[arg-type]  # settings only
    assert send(api).status_code == 200
    reply = send(api, channel="call")
    assert reply.status_code == 422
    assert code_of(reply) == "idempotency_key_reused"
    assert len(sender.sent) == 1


def test_the_keys_of_one_phone_do_not_touch_another(api: Api, sender: Recorder) -> None:
    assert send(api).status_code == 200
    assert post(api, SEND, {"phone_number": "+989351112233"}).status_code == 200
    assert len(sender.sent) == 2


def test_a_send_that_failed_for_sure_is_a_new_send_when_repeated(api: Api, sender: Recorder) -> None:
    sender.fault = SmsFailed("refused")
    assert [send(api).status_code for _ in range(2)] == [502, 502]
    assert list(api.redis.scan_iter("otp:*")) == []
    sender.fault = None
    assert send(api).status_code == 200
    assert len(sender.sent) == 1


def test_a_send_that_may_have_gone_out_is_not_made_again(api: Api, sender: Recorder) -> None:
    sender.fault = SmsUnconfirmed("timeout")
    assert send(api).status_code == 504
    sender.fault = None
    reply = send(api)
    assert reply.status_code == 504
    assert code_of(reply) == "sms_unconfirmed"
    assert sender.sent == []
    assert api.redis.llen(keys_of(PHONE).sends) == 1


def test_a_refused_send_is_not_kept(api: Api) -> None:
    for number in range(3):
        assert send(api, f"{KEY}-{number}").status_code == 200
    assert send(api).status_code == 429
    api.redis.delete(keys_of(PHONE).sends)
    assert send(api).status_code == 200


def test_a_repeated_send_needs_no_free_thread(api: Api, sender: Recorder) -> None:
    slots = api.app.extensions["send_slots"]
    assert send(api).status_code == 200
    slots.set_threads(1)
    with slots.take():
        assert send(api).status_code == 200
        assert send(api, f"{KEY}-other").status_code == 503
    assert len(sender.sent) == 1


def test_a_repeated_login_gets_exactly_the_same_tokens(api: Api, sender: Recorder) -> None:
    send(api, None)
    replies = [verify(api, sender.code_for(PHONE)) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert replies[0].json == replies[1].json == replies[2].json
    assert api.redis.zcard(keys_of(PHONE).sessions) == 1


def test_a_repeated_wrong_guess_costs_one_try(api: Api, sender: Recorder) -> None:
    send(api, None)
    right = sender.code_for(PHONE)
    wrong = "000000" if right != "000000" else "111111"
    replies = [verify(api, wrong) for _ in range(5)]
    assert {reply.status_code for reply in replies} == {400}
    assert [reply.json["attempts_remaining"] for reply in replies if reply.json] == [2] * 5
    assert api.redis.hget(keys_of(PHONE).tries, "tries") == b"1"


def test_a_key_of_a_guess_is_good_for_that_guess_only(api: Api, sender: Recorder) -> None:
    send(api, None)
    right = sender.code_for(PHONE)
    assert verify(api, right).status_code == 200
    reply = verify(api, "000000" if right != "000000" else "111111")
    assert reply.status_code == 422
    assert code_of(reply) == "idempotency_key_reused"
    assert api.redis.hget(keys_of(PHONE).tries, "tries") is None


def test_one_key_may_serve_different_routes(api: Api, sender: Recorder) -> None:
    assert send(api).status_code == 200
    assert verify(api, sender.code_for(PHONE)).status_code == 200


def refresh(api: Api, token: str, key: str | None = KEY) -> TestResponse:
    return post(api, REFRESH, {"refresh_token": token}, key)


def log_in(api: Api, sender: Recorder) -> str:
    send(api, None)
    reply = verify(api, sender.code_for(PHONE), None)
    assert reply.json
    token: str = reply.json["refresh_token"]
    return token


def age_used_tokens(api: Api, seconds: int) -> None:
    """Make the used tokens older."""
    [name] = api.redis.scan_iter("otp:*:session:*")
    fields: dict[Any, Any] = api.redis.hgetall(name)
    for field, value in fields.items():
        if field.startswith(b"s:"):
            at, rest = value.split(b":", 1)
            api.redis.hset(name, field, b"%d:%s" % (int(at) - 1000 * seconds, rest))


def test_a_repeated_refresh_gets_the_same_pair_for_a_minute(api: Api, sender: Recorder) -> None:
    token = log_in(api, sender)
    first = refresh(api, token)
    age_used_tokens(api, 30)
    assert refresh(api, token).json == first.json
    # Without the key, a token that was used 30 s ago ends its session.
    assert refresh(api, token, None).status_code == 401


def test_a_repeated_refresh_whose_successor_is_used_is_a_used_token(api: Api, sender: Recorder) -> None:
    token = log_in(api, sender)
    first = refresh(api, token)
    assert first.json
    assert refresh(api, first.json["refresh_token"], None).status_code == 200
    age_used_tokens(api, 30)
    assert refresh(api, token).status_code == 401


def test_the_key_of_a_refresh_with_another_token_is_422(api: Api, sender: Recorder) -> None:
    token = log_in(api, sender)
    first = refresh(api, token)
    assert first.json
    assert refresh(api, first.json["refresh_token"]).status_code == 422


def test_an_outcome_is_kept_for_a_minute_and_no_key_is_eternal(api: Api, sender: Recorder) -> None:
    send(api)
    verify(api, sender.code_for(PHONE))
    kept = list(api.redis.scan_iter("otp:*:call:*"))
    assert len(kept) == 2
    for name in kept:
        assert 50_000 < api.redis.pttl(name) <= 60_000
        # Redis has neither the client's key nor a code.
        assert KEY.encode() not in name + api.redis.get(name)


def test_the_login_survives_a_reply_of_redis_that_never_comes(api: Api, sender: Recorder) -> None:
    send(api, None)
    code = sender.code_for(PHONE)
    first = verify(api, code)
    # As if every reply had been lost: the client got 503, and repeats its request.
    assert verify(api, code).json == first.json
