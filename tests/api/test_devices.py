"""A user with a device token signs in during an attack. An invalid token changes no answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from werkzeug.test import TestResponse

from otp_gateway.abuse.devices import Devices
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import (
    OTHER,
    PHONE,
    SEND,
    VERIFY,
    Api,
    Recorder,
    assert_problem,
    keys_of,
    make_api,
    wrong,
)
from tests.conftest import SECRET_KEY

DAY = 86_400
LIFETIME = 90 * DAY
CHANGING = {"X-Request-ID", "RateLimit", "RateLimit-Policy", "Retry-After", "Content-Length"}


def now_ms(api: Api) -> int:
    seconds, micros = api.redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def token(api: Api, phone: str = PHONE, *, age: float = 60, secret: str = SECRET_KEY) -> str:
    """A device token from a login so many seconds ago."""
    devices = Devices(Codes(secret, 6), LIFETIME)
    made = devices.create(PhoneNumber(phone), "s" * 12 + "kkid", now_ms(api) - int(1000 * age))
    assert made
    return made


def send(api: Api, device_token: object = None, phone: str = PHONE, **options: Any) -> TestResponse:
    more = {} if device_token is None else {"device_token": device_token}
    return api.post(SEND, {"phone_number": phone} | more, **options)


def verify(
    api: Api, code: str, device_token: object = None, phone: str = PHONE, **options: Any
) -> TestResponse:
    more = {} if device_token is None else {"device_token": device_token}
    return api.post(VERIFY, {"phone_number": phone, "code": code} | more, **options)


def test_a_login_gives_a_token_with_which_the_next_one_has_its_own_lane(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    api.send()
    body = api.verify(PHONE, sender.code_for(PHONE)).get_json()
    given = body["device_token"]
    assert isinstance(given, str)
    assert 0 < len(given) <= 120
    assert PHONE.strip("+") not in given

    assert send(api, given).status_code == 200
    assert api.redis.exists(keys_of(PHONE).of_devices.code)
    again = verify(api, sender.code_for(PHONE), given)
    assert again.status_code == 200
    assert again.get_json()["device_token"] not in (None, given)


# --- the victim


def full_windows(api: Api, sender: Recorder, phone: str) -> None:
    """Clients without a token send until the phone's windows are full."""
    before = len(sender.sent)
    statuses = [send(api, phone=phone, ip=f"198.51.100.{n}").status_code for n in range(20)]
    assert statuses == [200] * 19 + [429]
    assert len(sender.sent) == before + 19


def used_up_failures(api: Api, sender: Recorder, phone: str) -> None:
    """Clients without a token guess until the phone's failures are used up."""
    send(api, phone=phone)
    guess = wrong(sender.code_for(phone))
    for n in range(40):
        assert verify(api, guess, phone=phone, ip=f"198.51.100.{n // 10}").status_code == 400
    assert_problem(verify(api, guess, phone=phone, ip="203.0.113.9"), 429, "too_many_attempts")


@pytest.mark.parametrize("redis_client", ["redis"], indirect=True)
@pytest.mark.parametrize("attack", [full_windows, used_up_failures])
def test_a_victim_with_a_token_signs_in_fifty_of_fifty_times(
    redis_client: RedisClient, attack: Callable[[Api, Recorder, str], None]
) -> None:
    sender = Recorder()
    # The windows and tries of a day, without the time in between.
    api = make_api(redis_client, sender, OTP_PHONE_LIMITS="19/day", OTP_MAX_ATTEMPTS=100)
    victims = [f"+9891234567{n:02d}" for n in range(50)]
    signed_in = 0
    for phone in victims:
        own = token(api, phone)
        attack(api, sender, phone)
        locked = send(api, phone=phone)
        assert locked.status_code == 429
        if send(api, own, phone).status_code != 200:
            continue
        code = sender.code_for(phone)
        # The other clients continue meanwhile.
        for n in range(5):
            send(api, phone=phone, ip=f"203.0.113.{n}")
            assert verify(api, code, phone=phone, ip=f"203.0.113.{n}").status_code in (400, 429)
        signed_in += verify(api, code, own, phone).status_code == 200
    assert signed_in == len(victims) == 50


# --- tokens that are not good


def changed(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def forgotten(api: Api) -> str:
    api.redis.set(keys_of(PHONE).devices_since, now_ms(api) - 30_000, px=1000 * DAY)
    return token(api)


NOT_GOOD: dict[str, Callable[[Api], str]] = {
    "forged": lambda api: changed(token(api)),
    "of another phone": lambda api: token(api, OTHER),
    "expired": lambda api: token(api, age=LIFETIME + 1),
    "of a former secret": lambda api: token(api, secret="former-secret-key-of-forty-characters-xx"),
    "forgotten": forgotten,
    "empty": lambda _: "",
    "garbage": lambda _: "\u0000x.é.\ud800",
    "long": lambda _: "A" * 7000,
}


def face(reply: TestResponse) -> tuple[object, ...]:
    """The reply as a client sees it, without the parts that change from one request to the next."""
    headers = sorted((name, value) for name, value in reply.headers.items() if name not in CHANGING)
    body = reply.get_json()
    for name in ("access_token", "refresh_token", "device_token", "expires_in", "resend_in"):
        if name in body:
            body[name] = type(body[name]).__name__
    return reply.status_code, sorted(reply.headers.keys()), headers, json.dumps(body)


def story(api: Api, sender: Recorder, given: str | None) -> Iterator[TestResponse]:
    """Every kind of reply that the two endpoints give for a phone."""
    yield verify(api, "000000", given)
    yield send(api, given)
    yield send(api, given, headers={"Idempotency-Key": "one-key-of-the-send-x"})
    # A key without a token is the same request: the body has no other token that counts.
    yield send(api, headers={"Idempotency-Key": "one-key-of-the-send-x"})
    for by in (1, 2):
        yield verify(api, wrong(sender.code_for(PHONE), by), given)
    yield verify(api, sender.code_for(PHONE), given, headers={"Idempotency-Key": "one-key-of-the-login"})
    yield verify(api, sender.code_for(PHONE), headers={"Idempotency-Key": "one-key-of-the-login"})
    for _ in range(3):
        yield send(api, given)
    for by in range(1, 6):
        yield verify(api, wrong(sender.code_for(PHONE), by), given)
    yield verify(api, sender.code_for(PHONE), given)
    yield send(api, given)


@pytest.mark.parametrize("kind", NOT_GOOD)
def test_a_token_that_is_not_good_cannot_be_told_from_no_token(redis_client: RedisClient, kind: str) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    given = NOT_GOOD[kind](api)
    with_token = [face(reply) for reply in story(api, sender, given)]
    left = {key.split(b"}")[1] for key in api.redis.scan_iter("otp:*") if b":call:" not in key}
    assert not [name for name in left if name.startswith(b":d:")]

    recorder = Recorder()
    without = make_api(connect(None), recorder)
    plain = [face(reply) for reply in story(without, recorder, None)]
    assert with_token == plain
    assert {status for status, *_ in plain} == {200, 400, 429}


@pytest.mark.parametrize("path", [SEND, VERIFY])
@pytest.mark.parametrize("value", [None, 1, True, [], ["x"], {}])
def test_a_token_of_another_json_type_is_an_invalid_request(path: str, value: object) -> None:
    api = make_api()
    body = {"phone_number": PHONE, "code": "123456", "device_token": value}
    problem = assert_problem(api.post(path, body), 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["device_token"]


def test_the_log_holds_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    own = token(api)
    send(api, own)
    body = verify(api, sender.code_for(PHONE), own).get_json()
    send(api, changed(own))
    seen = capsys.readouterr()
    for secret in (own, changed(own), body["device_token"]):
        assert secret not in seen.out + seen.err
        assert not [key for key in api.redis.scan_iter("*") if secret.encode() in key]


# --- a stolen token


def test_a_stolen_token_cannot_lock_the_common_lane(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_MAX_ATTEMPTS=100)
    stolen = token(api)
    assert [send(api, stolen).status_code for _ in range(4)] == [200, 200, 200, 429]
    guess = wrong(sender.code_for(PHONE))
    statuses = [verify(api, guess, stolen).status_code for _ in range(12)]
    assert statuses == [400] * 10 + [429] * 2
    assert_problem(send(api, stolen), 429, "too_many_attempts")
    # The owner's own token is locked too, but the owner can continue without it.
    assert_problem(send(api, token(api, age=1)), 429, "too_many_attempts")
    assert send(api).status_code == 200
    assert verify(api, sender.code_for(PHONE)).status_code == 200


# --- settings


def test_without_devices_a_token_is_neither_given_nor_read(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_DEVICE_DAYS=0, OTP_MAX_ATTEMPTS=100)
    send(api, token(api))
    guess = wrong(sender.code_for(PHONE))
    # All fifty failures are those of clients without a token.
    statuses = [verify(api, guess, token(api), ip=f"198.51.100.{n // 10}").status_code for n in range(60)]
    assert statuses == [400] * 50 + [429] * 10
    assert not api.redis.keys("otp:*:d:*")
    send(api, phone=OTHER)
    reply = verify(api, sender.code_for(OTHER), phone=OTHER)
    assert "device_token" not in reply.get_json()


@pytest.mark.parametrize("days", [1, 30])
def test_a_token_is_good_for_the_days_of_the_setting(redis_client: RedisClient, days: int) -> None:
    api = make_api(redis_client, Recorder(), OTP_DEVICE_DAYS=days)
    send(api, token(api, age=days * DAY + 1))
    assert not api.redis.keys("otp:*:d:*")
    send(api, token(api, age=days * DAY - 60))
    assert api.redis.keys("otp:*:d:code")


# --- threads


def test_strangers_that_wait_for_the_provider_leave_threads_to_devices(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    slots = api.app.extensions["send_slots"]
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(slots.take())
        refused = [face(send(api, given)) for given in (None, forgotten(api), changed(token(api)))]
        assert refused == [refused[0]] * 3
        assert_problem(send(api), 503, "sms_busy")
        assert not [key for key in api.redis.scan_iter("otp:*") if not key.endswith(b":devices_since")]
        api.redis.flushall()
        assert send(api, token(api)).status_code == 200
    assert len(sender.sent) == 1


# --- idempotency


@pytest.mark.parametrize("with_key", [True, False])
def test_a_repeated_login_gives_the_same_tokens(redis_client: RedisClient, *, with_key: bool) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    own = token(api)
    headers = {"Idempotency-Key": "one-key-of-the-login"} if with_key else {}
    send(api, own)
    code = sender.code_for(PHONE)
    first, second = (verify(api, code, own, headers=headers) for _ in range(2))
    assert first.status_code == 200
    if with_key:
        assert first.data == second.data
    else:
        assert_problem(second, 400, "invalid_code", members=["attempts_remaining"])


def test_a_key_of_the_device_lane_is_unknown_without_the_token(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender)
    own, headers = token(api), {"Idempotency-Key": "one-key-for-all-of-them"}
    assert send(api, own, headers=headers).status_code == 200
    assert send(api, own, headers=headers).status_code == 200
    assert len(sender.sent) == 1
    # Another lane, so another request.
    assert send(api, headers=headers).status_code == 200
    assert len(sender.sent) == 2
    assert sender.sent[0][1] != sender.sent[1][1]
