"""Redis's clock was set back: stored times then seem to come from the future."""

from __future__ import annotations

from typing import Any

import pytest

from otp_gateway.store import connect
from tests.api.support import PHONE, Api, Recorder, keys_of, make_api, retry_after, wrong
from tests.support.redis_server import RedisServer

# Seconds by which the clock was set back.
BACK = 600


def set_back(redis: Any) -> None:
    """Make every time in Redis later, and the TTL of every key longer, by `BACK` seconds."""
    for key in redis.scan_iter():
        redis.pexpire(key, redis.pttl(key) + 1000 * BACK)
        if key.endswith(b":sends"):
            for index, entry in enumerate(redis.lrange(key, 0, -1)):
                at, rest = entry.split(b":", 1)
                redis.lset(key, index, b"%d:%s" % (int(at) + 1000 * BACK, rest))
        elif key.endswith(b":tries"):
            for field, value in redis.hgetall(key).items():
                count, colon, ends = value.rpartition(b":")
                if colon or field == b"tries_end":
                    redis.hset(key, field, b"%s%s%d" % (count, colon, int(ends) + 1000 * BACK))
        elif key.startswith(b"ip:"):
            for member, score in redis.zrange(key, 0, -1, withscores=True):
                redis.zadd(key, {member: score + 1000 * BACK})


@pytest.fixture
def sender() -> Recorder:
    return Recorder()


@pytest.fixture
def api(redis_server: RedisServer, sender: Recorder) -> Api:
    redis_server.clear()
    return make_api(connect(redis_server.url), sender, OTP_IP_LIMITS="5/minute")


def test_a_phones_window_admits_no_send_more_and_waits_as_long_as_the_clock_was_set_back(api: Api) -> None:
    for _ in range(3):
        assert api.send().status_code == 200
    set_back(api.redis)
    refused = api.send()
    assert refused.get_json()["code"] == "too_many_otp_requests"
    assert BACK < retry_after(refused) <= BACK + 120


def test_a_code_still_verifies_and_its_wrong_tries_still_count(api: Api, sender: Recorder) -> None:
    api.send()
    code = sender.code_for(PHONE)
    for _ in range(2):
        api.verify(PHONE, wrong(code))
    set_back(api.redis)
    assert api.verify(PHONE, wrong(code)).get_json()["attempts_remaining"] == 0
    locked = api.verify(PHONE, code)
    assert locked.get_json()["code"] == "too_many_attempts"
    assert BACK < retry_after(locked) <= BACK + 300


def test_an_address_waits_as_long_as_the_clock_was_set_back(api: Api) -> None:
    for _ in range(5):
        api.send("+989")
    set_back(api.redis)
    refused = api.send()
    assert refused.get_json()["code"] == "rate_limited"
    assert BACK < retry_after(refused) <= BACK + 60
    assert api.redis.exists(keys_of(PHONE).sends) == 0
