"""A phone with an active code and wrong guesses is answered like a phone without one.

For a phone that was never sent a code, this is true within the lifetime of the tries. It is true for longer
if the phone's code has expired or was used.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from otp_gateway.store.client import RedisClient
from tests.api.support import VERIFY, Api, Recorder, keys_of, make_api, retry_after, wrong
from tests.support.searches import examples

# Parts that may differ between two replies: their ids, their times, and waits that count down meanwhile.
VOLATILE = {"x-request-id", "date", "retry-after"}
TRIES, PER_CLIENT, PER_PHONE = 3, 5, 8
# So many tries that every budget is used up within their lifetime.
MANY_TRIES = 10
LIFETIME = 300

# A guess from one of three clients: a wrong code, or another text that is not the right one.
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
# Events between guesses: the code expires, the tries expire, everything expires.
EVENTS = ("the code ends", "the tries end", "the day ends")
# Why the other phone has no active code, and which events are possible for such a pair. For a phone that was
# never sent a code, Redis keeps only the tries of its guesses.
REASONS = {"never sent": ("the code ends", "the day ends"), "expired": EVENTS, "used": EVENTS}


def steps_with(events: Sequence[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    kinds = st.sampled_from((*("wrong",) * 8, *GUESSES, *events))
    return st.lists(st.tuples(kinds, st.integers(1, 3)), max_size=16)


class Replies(NamedTuple):
    """Both answers to a step, and the time that they took together."""

    with_code: TestResponse
    without: TestResponse
    seconds: float


class Pair:
    """Two phones and an address block for each: one has an active code, the other has none."""

    def __init__(self, api: Api, sender: Recorder, number: int, reason: str) -> None:
        self.api = api
        self.with_code = f"+98912{number:07d}"
        self.without = f"+98935{number:07d}"
        assert api.send(self.with_code, ip="203.0.113.1").status_code == 200
        self.code = sender.code_for(self.with_code)
        if reason != "never sent":
            assert api.send(self.without, ip="203.0.113.1").status_code == 200
        if reason == "expired":
            api.redis.delete(keys_of(self.without).code)
        if reason == "used":
            code = sender.code_for(self.without)
            assert api.verify(self.without, code, ip="203.0.113.1").status_code == 200
        self.guesses = 0

    def both(self, step: str, client: int) -> Replies | None:
        """Do a step on both phones; return their answers if the step is a guess."""
        if step in EVENTS:
            self._end(step)
            return None
        self.guesses += 1
        guess = wrong(self.code, self.guesses)
        began = time.monotonic()
        return Replies(
            self._answer(step, self.with_code, guess, f"192.0.2.{client}"),
            self._answer(step, self.without, guess, f"198.51.100.{client}"),
            time.monotonic() - began,
        )

    def _answer(self, step: str, phone: str, guess: str, ip: str) -> TestResponse:
        """The reply after the store has answered. On a busy machine, one of the two calls may come too late.

        Then the call has had no effect, for either phone.
        """
        for _ in range(20):
            reply = self._ask(step, phone, guess, ip)
            if reply.status_code != 503:
                break
        return reply

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
            # They expire in this order: a code is older than the tries against it.
            redis.delete(keys.code)
            if event == "the tries end":
                redis.hdel(keys.tries, "tries", "tries_end")
            if event == "the day ends":
                redis.delete(keys.tries, keys.sends)


def face(reply: TestResponse) -> tuple[object, ...]:
    """The parts of a reply that must be the same for both phones."""
    headers = [
        (name, re.sub(r";t=\d+", ";t=*", value))
        for name, value in reply.headers
        if name.lower() not in VOLATILE
    ]
    return reply.status, reply.data, headers, "Retry-After" in reply.headers


def assert_alike(replies: Replies) -> None:
    one, two, seconds = replies
    assert face(one) == face(two)
    if "Retry-After" in one.headers:
        # One of the phones was called later, and waits are whole seconds.
        assert abs(retry_after(one) - retry_after(two)) <= 1 + seconds


def make_pair(store: RedisClient | None, number: int, reason: str = "never sent", tries: int = TRIES) -> Pair:
    sender = Recorder()
    api = make_api(
        store,
        sender,
        OTP_IP_LIMITS="1000000/minute",
        OTP_EXPIRY_TIME=LIFETIME,
        OTP_MAX_ATTEMPTS=tries,
        OTP_MAX_FAILURES_PER_CLIENT=PER_CLIENT,
        OTP_MAX_FAILURES_PER_PHONE=PER_PHONE,
    )
    return Pair(api, sender, number, reason)


# Steps of both phones. The tries expire in between only for phones that were sent a code.
WAYS: dict[str, tuple[int, Sequence[tuple[str, int]]]] = {
    "until no try is left": (TRIES, [("wrong", 1)] * 5),
    "from three networks": (TRIES, [("wrong", 1), ("wrong", 2), ("wrong", 3), ("wrong", 1)]),
    "malformed between": (
        TRIES,
        [("wrong", 1), ("malformed", 1), ("no JSON", 1), ("wrong", 1), ("wrong", 1), ("null", 1)],
    ),
    "past the code's end": (
        TRIES,
        [("wrong", 1), ("the code ends", 1), ("wrong", 1), ("wrong", 1), ("wrong", 1)],
    ),
    "until the client's budget is spent within the tries": (
        MANY_TRIES,
        [*[("wrong", 1)] * 7, ("wrong", 2)],
    ),
    "until the phone's budget is spent within the tries": (
        MANY_TRIES,
        [*[("wrong", 1)] * 6, *[("wrong", 2)] * 3, *[("wrong", 3)] * 2],
    ),
    "until the client's budget is spent": (
        TRIES,
        [*[("wrong", 1)] * 3, ("the tries end", 1), *[("wrong", 1)] * 4],
    ),
    "until the phone's budget is spent": (
        TRIES,
        [
            *[("wrong", 1)] * 4,
            ("the tries end", 1),
            *[("wrong", 2)] * 4,
            ("the tries end", 1),
            *[("wrong", 3)] * 5,
        ],
    ),
    "over a day": (TRIES, [*[("wrong", 1)] * 4, ("the day ends", 1), *[("wrong", 1)] * 4]),
}


@pytest.mark.parametrize(
    ("reason", "tries", "way"),
    [
        pytest.param(reason, tries, way, id=f"{reason}-{name}")
        for name, (tries, way) in WAYS.items()
        for reason, events in REASONS.items()
        if {step for step, _ in way} <= {*GUESSES, *events}
    ],
)
def test_no_sequence_of_wrong_guesses_tells_whether_a_code_is_live(
    redis_client: RedisClient, reason: str, tries: int, way: Sequence[tuple[str, int]]
) -> None:
    pair = make_pair(redis_client, 3_456_789, reason, tries)
    statuses = []
    for step, client in way:
        replies = pair.both(step, client)
        if replies:
            assert_alike(replies)
            statuses.append(replies[0].status_code)
    # The two must not be alike only because every guess was refused for another reason.
    assert 400 in statuses
    assert set(statuses) <= {400, 429}


@pytest.fixture(scope="module")
def numbers() -> dict[str, int]:
    return {"next": 0}


def play(way: Sequence[tuple[str, int]], number: int, reason: str, tries: int) -> None:
    pair = make_pair(None, number, reason, tries)
    for step, client in way:
        replies = pair.both(step, client)
        if replies:
            assert_alike(replies)


@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(way=steps_with(REASONS["never sent"]), tries=st.sampled_from((TRIES, MANY_TRIES)))
@example(way=[("wrong", 1), ("wrong", 1), ("wrong", 1), ("wrong", 2)], tries=TRIES)
@example(way=[*[("wrong", 1)] * 6, *[("wrong", 2)] * 4], tries=MANY_TRIES)
def test_no_sequence_whatever_tells_whether_a_code_is_live(
    way: list[tuple[str, int]], tries: int, numbers: dict[str, int]
) -> None:
    numbers["next"] += 1
    play(way, numbers["next"], "never sent", tries)


@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    way=steps_with(EVENTS),
    reason=st.sampled_from(("expired", "used")),
    tries=st.sampled_from((TRIES, MANY_TRIES)),
)
@example(
    way=[("wrong", 1), ("wrong", 1), ("the code ends", 1), ("wrong", 2), ("the tries end", 1), ("wrong", 2)],
    reason="expired",
    tries=TRIES,
)
def test_no_sequence_over_any_time_tells_whether_the_code_of_a_day_is_live(
    way: list[tuple[str, int]], reason: str, tries: int, numbers: dict[str, int]
) -> None:
    numbers["next"] += 1
    play(way, numbers["next"], reason, tries)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("guesses", range(8))
def test_both_are_counted_alike_in_redis(redis_client: RedisClient, reason: str, guesses: int) -> None:
    pair = make_pair(redis_client, 3_456_789, reason)
    for _ in range(guesses):
        pair.both("wrong", 1)
    redis = pair.api.redis

    def state(phone: str) -> dict[str, str]:
        """The hash, without the clients' names and the times, because these differ."""
        fields = cast("dict[bytes, bytes]", redis.hgetall(keys_of(phone).tries))
        found = {}
        for name, value in fields.items():
            budget, _, client = name.decode().partition(":")
            number = value.decode().partition(":")[0]
            found[f"{budget} of a client" if client else budget] = "" if budget == "tries_end" else number
        return found

    counted = str(min(guesses, TRIES))
    same = {"tries": counted, "tries_end": ""}
    budgets = {"failures": counted, "failures of a client": counted}
    worthless = {"unsent": counted, "unsent of a client": counted}
    assert state(pair.with_code) == (same | budgets if guesses else {})
    assert state(pair.without) == (
        {} if not guesses else same | (worthless if reason == "never sent" else budgets)
    )
    if guesses:
        day = range(86_390_000, 86_400_001)
        lives = range(1000 * LIFETIME - 10_000, 1000 * LIFETIME + 1)
        assert redis.pttl(keys_of(pair.with_code).tries) in day
        assert redis.pttl(keys_of(pair.without).tries) in (lives if reason == "never sent" else day)


def test_guesses_on_a_phone_that_was_sent_nothing_are_forgotten_with_their_tries(
    redis_client: RedisClient,
) -> None:
    pair = make_pair(redis_client, 3_456_789)
    for client in (1, 2, 3, 1):
        pair.both("wrong", client)
    redis, pid = pair.api.redis, keys_of(pair.without).pid
    names = {key.decode() for key in redis.scan_iter(f"otp:{{{pid}}}:*")}
    assert names
    assert {name.split(":")[2] for name in names} == {"tries", "call"}
    assert all(0 < redis.pttl(name) <= 1000 * LIFETIME for name in names)
    pair.api.pass_time(LIFETIME + 1)
    assert list(redis.scan_iter(f"otp:{{{pid}}}:*")) == []


def test_the_live_code_still_works_within_its_tries_so_the_pair_did_differ(redis_client: RedisClient) -> None:
    pair = make_pair(redis_client, 3_456_789)
    pair.both("wrong", 1)
    pair.both("wrong", 1)
    assert pair.api.verify(pair.without, pair.code).status_code == 400
    reply = pair.api.verify(pair.with_code, pair.code)
    assert json.loads(reply.data)["user"]["phone_number"] == pair.with_code
