"""A phone with a live code and wrong guesses is answered like a phone that never asked for one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from otp_gateway.store.client import RedisClient
from tests.api.support import VERIFY, Api, Recorder, keys_of, make_api, retry_after, wrong

# What may differ between two replies: their ids, their moments, and waits that count down meanwhile.
VOLATILE = {"x-request-id", "date", "retry-after"}
TRIES, PER_CLIENT, PER_PHONE = 3, 5, 8

# A guess from one of three clients: a wrong code, or something else that is no right one.
GUESSES = (
    "wrong",
    "wrong in Persian",
    "malformed",
    "too short",
    "null",
    "missing",
    "no JSON",
    "other spelling",
)
# What happens between guesses: the code's life ends, the tries' life ends, everything ends.
EVENTS = ("the code ends", "the tries end", "the day ends")

steps = st.lists(
    st.tuples(st.sampled_from(("wrong",) * 8 + GUESSES + EVENTS), st.integers(1, 3)), max_size=16
)


class Pair:
    """Two phones and an address block for each: one has a live code, the other never asked."""

    def __init__(self, api: Api, sender: Recorder, number: int) -> None:
        self.api = api
        self.with_code = f"+98912{number:07d}"
        self.without = f"+98935{number:07d}"
        assert api.send(self.with_code, ip="203.0.113.1").status_code == 200
        self.code = sender.code_for(self.with_code)
        self.guesses = 0

    def both(self, step: str, client: int) -> tuple[TestResponse, TestResponse] | None:
        """Play a step on both; their answers, where there is something to answer."""
        if step in EVENTS:
            self._end(step)
            return None
        self.guesses += 1
        guess = wrong(self.code, self.guesses)
        return (
            self._ask(step, self.with_code, guess, f"192.0.2.{client}"),
            self._ask(step, self.without, guess, f"198.51.100.{client}"),
        )

    def _ask(self, step: str, phone: str, guess: str, ip: str) -> TestResponse:
        body: dict[str, object] = {"phone_number": phone, "code": guess}
        match step:
            case "wrong in Persian":
                body["code"] = "".join(chr(ord("۰") + int(digit)) for digit in guess)
            case "malformed":
                body["code"] = "12345x"
            case "too short":
                body["code"] = guess[:5]
            case "null":
                body["code"] = None
            case "missing":
                del body["code"]
            case "no JSON":
                return self.api.post(VERIFY, b"{", ip=ip)
            case "other spelling":
                body["phone_number"] = f"0{phone[3:]}"
        return self.api.post(VERIFY, body, ip=ip)

    def _end(self, event: str) -> None:
        redis = self.api.redis
        for phone in (self.with_code, self.without):
            keys = keys_of(phone)
            # In this order they end by themselves: a code is older than the tries against it.
            redis.delete(keys.code)
            if event != "the code ends":
                redis.delete(keys.attempts)
            if event == "the day ends":
                redis.delete(keys.failures, *redis.scan_iter(f"{keys.failures}:*"))


def face(reply: TestResponse) -> tuple[object, ...]:
    """Everything of a reply that may not tell the phones apart."""
    headers = [
        (name, re.sub(r";t=\d+", ";t=*", value))
        for name, value in reply.headers
        if name.lower() not in VOLATILE
    ]
    return reply.status, reply.data, headers, "Retry-After" in reply.headers


def assert_alike(replies: tuple[TestResponse, TestResponse]) -> None:
    one, two = replies
    assert face(one) == face(two)
    if "Retry-After" in one.headers:
        # One of them was asked some milliseconds later.
        assert abs(retry_after(one) - retry_after(two)) <= 1


def make_pair(store: RedisClient | None, number: int) -> Pair:
    sender = Recorder()
    api = make_api(
        store,
        sender,
        OTP_IP_LIMITS="1000000/minute",
        OTP_MAX_ATTEMPTS=TRIES,
        OTP_MAX_FAILURES_PER_CLIENT=PER_CLIENT,
        OTP_MAX_FAILURES_PER_PHONE=PER_PHONE,
    )
    return Pair(api, sender, number)


WAYS: dict[str, Sequence[tuple[str, int]]] = {
    "until no try is left": [("wrong", 1)] * 5,
    "from three networks": [("wrong", 1), ("wrong", 2), ("wrong", 3), ("wrong", 1)],
    "malformed between": [
        ("wrong", 1),
        ("malformed", 1),
        ("no JSON", 1),
        ("wrong", 1),
        ("wrong", 1),
        ("null", 1),
    ],
    "past the code's end": [("wrong", 1), ("the code ends", 1), ("wrong", 1), ("wrong", 1), ("wrong", 1)],
    "until the client's budget is spent": [*[("wrong", 1)] * 3, ("the tries end", 1), *[("wrong", 1)] * 4],
    "until the phone's budget is spent": [
        *[("wrong", 1)] * 4,
        ("the tries end", 1),
        *[("wrong", 2)] * 4,
        ("the tries end", 1),
        *[("wrong", 3)] * 5,
    ],
    "over a day": [*[("wrong", 1)] * 4, ("the day ends", 1), *[("wrong", 1)] * 4],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_sequence_of_wrong_guesses_tells_whether_a_code_is_live(
    redis_client: RedisClient, way: Sequence[tuple[str, int]]
) -> None:
    pair = make_pair(redis_client, 3_456_789)
    statuses = []
    for step, client in way:
        replies = pair.both(step, client)
        if replies:
            assert_alike(replies)
            statuses.append(replies[0].status_code)
    # Lest the two be alike because nothing of interest happened.
    assert 400 in statuses
    assert set(statuses) <= {400, 429}


@pytest.fixture(scope="module")
def numbers() -> dict[str, int]:
    return {"next": 0}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=steps)
@example(way=[("wrong", 1), ("wrong", 1), ("wrong", 1), ("wrong", 2)])
@example(
    way=[("wrong", 1), ("wrong", 1), ("the code ends", 1), ("wrong", 2), ("the tries end", 1), ("wrong", 2)]
)
def test_no_sequence_whatever_tells_whether_a_code_is_live(
    way: list[tuple[str, int]], numbers: dict[str, int]
) -> None:
    numbers["next"] += 1
    pair = make_pair(None, numbers["next"])
    for step, client in way:
        replies = pair.both(step, client)
        if replies:
            assert_alike(replies)


@pytest.mark.parametrize("guesses", range(8))
def test_both_are_counted_alike_in_redis(redis_client: RedisClient, guesses: int) -> None:
    pair = make_pair(redis_client, 3_456_789)
    for _ in range(guesses):
        pair.both("wrong", 1)
    redis = pair.api.redis

    def state(phone: str) -> list[object]:
        keys = keys_of(phone)
        return [
            redis.hget(keys.attempts, "tries"),
            redis.hlen(keys.attempts),
            redis.get(keys.failures),
            [redis.get(key) for key in redis.scan_iter(f"{keys.failures}:*")],
        ]

    assert state(pair.with_code) == state(pair.without)
    counted = str(min(guesses, TRIES)).encode() if guesses else None
    assert state(pair.with_code)[0] == state(pair.with_code)[2] == counted


def test_the_live_code_still_works_within_its_tries_so_the_pair_did_differ(redis_client: RedisClient) -> None:
    pair = make_pair(redis_client, 3_456_789)
    pair.both("wrong", 1)
    pair.both("wrong", 1)
    assert pair.api.verify(pair.without, pair.code).status_code == 400
    reply = pair.api.verify(pair.with_code, pair.code)
    assert json.loads(reply.data)["user"]["phone_number"] == pair.with_code
