"""Chains of refreshes: a session is refreshed at most eight times within ten seconds, and stays small."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import redis
from werkzeug.test import TestResponse

from tests.sessions.site import (
    INVALID_TOKEN,
    NO_IP_LIMIT,
    Site,
    body_of,
    pass_time,
    problem_of,
    session_keys,
)

REMEMBERED = 8
GRACE = 10
KILOBYTE = 1000
BUSY = (429, "rate_limited")


def chain(site: Site, length: int = REMEMBERED) -> list[str]:
    """A new session and its refresh tokens, the last of them unused."""
    tokens = [site.login()["refresh_token"]]
    for _ in range(length):
        tokens.append(site.refreshed(tokens[-1])["refresh_token"])
    return tokens


def wait_of(reply: TestResponse) -> int:
    """Retry-After of a refusal by the session's limit."""
    assert problem_of(reply) == BUSY
    wait = reply.headers["Retry-After"]
    assert wait.isdigit()
    return int(wait)


def the_session(store: Any) -> dict[bytes, bytes]:
    (key,) = session_keys(store)
    fields: dict[bytes, bytes] = store.hgetall(key)
    return fields


def test_a_ninth_refresh_within_ten_seconds_is_rate_limited_and_changes_nothing(site: Site) -> None:
    newest = chain(site)[-1]
    before = the_session(site.store)
    for _ in range(3):
        assert 1 <= wait_of(site.refresh(newest)) <= GRACE
    assert the_session(site.store) == before


def test_waiting_as_long_as_the_reply_says_is_enough_for_the_next_refresh(site: Site) -> None:
    newest = chain(site)[-1]
    wait = wait_of(site.refresh(newest))
    pass_time(site.store, GRACE - wait)
    assert problem_of(site.refresh(newest)) == BUSY
    pass_time(site.store, wait - (GRACE - wait))
    assert site.lives(newest)


def test_while_a_session_is_at_its_limit_a_lost_reply_is_still_given_again(site: Site) -> None:
    tokens = chain(site)
    assert problem_of(site.refresh(tokens[-1])) == BUSY
    for used, successor in pairwise(tokens):
        assert site.refreshed(used)["refresh_token"] == successor


def test_the_limit_of_a_session_is_no_other_sessions(site: Site) -> None:
    tokens = chain(site)
    other = site.login()["refresh_token"]
    assert problem_of(site.refresh(tokens[-1])) == BUSY
    assert site.lives(other)


def test_a_session_at_its_limit_can_be_revoked(site: Site) -> None:
    newest = chain(site)[-1]
    assert problem_of(site.refresh(newest)) == BUSY
    assert site.revoke(newest).status_code == 204
    assert problem_of(site.refresh(newest)) == INVALID_TOKEN
    assert session_keys(site.store) == []


def test_a_used_token_ends_a_session_at_its_limit_too(site: Site) -> None:
    tokens = chain(site, 1)
    pass_time(site.store, GRACE)
    for _ in range(REMEMBERED):
        tokens.append(site.refreshed(tokens[-1])["refresh_token"])
    assert problem_of(site.refresh(tokens[-1])) == BUSY
    # This token was used before the ten seconds, so an attacker may have a copy of it.
    assert problem_of(site.refresh(tokens[0])) == INVALID_TOKEN
    assert problem_of(site.refresh(tokens[-1])) == INVALID_TOKEN
    assert session_keys(site.store) == []


def test_two_thousand_refreshes_leave_a_session_under_a_kilobyte(real_store: redis.Redis) -> None:
    site = Site(real_store, **NO_IP_LIMIT)
    token = site.login()["refresh_token"]
    (key,) = session_keys(real_store)
    store: Any = real_store
    most = refreshed = 0
    while refreshed < 2000:
        reply = site.refresh(token)
        if reply.status_code == 200:
            refreshed += 1
            token = body_of(reply)["refresh_token"]
            continue
        most = max(most, store.memory_usage(key, samples=0))
        assert refreshed % REMEMBERED == 0
        assert store.hlen(key) == 3 + REMEMBERED
        pass_time(real_store, wait_of(reply))
    assert 0 < most < KILOBYTE
    assert session_keys(real_store) == [key]
