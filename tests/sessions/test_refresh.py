"""Refresh, revoke and /me, over both stores."""

from __future__ import annotations

import json

import pytest
import redis

from otp_gateway.store import connect
from tests.sessions.site import (
    INVALID_TOKEN,
    ME,
    NO_IP_LIMIT,
    OTHER_PHONE,
    PHONE,
    REFRESH,
    REVOKE,
    Site,
    body_of,
    claims_of,
    now,
    pass_time,
    problem_of,
    session_keys,
    ttls,
)
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

# Well within and just after the 10 s in which a client that lost the reply may repeat the request.
WITHIN = 8
PAST = 10
MONTH = 2_592_000
GARBAGE = ["", "x", "a.b.c", "....", "null", "é.é.é", "\0", "\ud800", "a" * 7000]
MALFORMED = [
    b"",
    b"null",
    b"[]",
    b'"token"',
    b"7",
    b"{",
    b"{}",
    b'{"refresh_token": null}',
    b'{"refresh_token": 7}',
    b'{"refresh_token": NaN}',
    b'{"refresh_token": true}',
    b'{"refresh_token": ["x"]}',
    b'{"refresh_token": {"x": "y"}}',
    b'{"access_token": "x"}',
    b'{"refresh_token": "\xff"}',
    '{"refresh_token": "x"}'.encode("utf-16"),
    b'{"refresh_token": ' + b"[" * 4000,
    b'{"refresh_token": ' + b"9" * 5000 + b"}",
]


class TestRefresh:
    def test_a_lifetime_set_shorter_since_the_login_counts_and_uses_nothing(self, site: Site) -> None:
        # The token says that the login was a minute ago; the session in Redis is newer.
        token = site.pair(site.login()["refresh_token"], ends_in=3540).refresh_token
        short = Site(site.store, JWT_REFRESH_TTL=59, JWT_ACCESS_TTL=59)
        assert problem_of(short.refresh(token)) == INVALID_TOKEN
        assert site.lives(token)

    def test_it_answers_like_a_login_with_a_new_pair_of_the_same_session(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])

        # Only a login returns the device token.
        assert list(second) == [name for name in first if name != "device_token"]
        assert second["user"] == first["user"]
        assert second["user"]["phone_number"] == PHONE
        assert (second["token_type"], second["expires_in"]) == ("Bearer", 900)
        assert 0 <= MONTH - second["refresh_expires_in"] <= 2
        for kind in ("access_token", "refresh_token"):
            old, new = claims_of(first[kind]), claims_of(second[kind])
            assert new["jti"] != old["jti"]
            changed = {"jti", "iat", "exp"} if kind == "access_token" else {"jti", "iat"}
            assert {k: v for k, v in new.items() if k not in changed} == {
                k: v for k, v in old.items() if k not in changed
            }
        assert body_of(site.me(second["access_token"])) == first["user"]

    def test_a_chain_of_refreshes_is_one_session(self, site: Site) -> None:
        pair = site.login()
        seen = {pair["refresh_token"]}
        for _ in range(12):
            # Slowly enough, because a session may be refreshed eight times within ten seconds.
            pass_time(site.store, 2)
            pair = site.refreshed(pair["refresh_token"])
            assert pair["refresh_token"] not in seen
            seen.add(pair["refresh_token"])
        assert len({claims_of(token)["sid"] for token in seen}) == 1
        assert len(session_keys(site.store)) == 1

    def test_within_ten_seconds_a_used_token_gives_the_same_bytes_again(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        first = site.refresh(token)
        for _ in range(3):
            assert site.refresh(token).data == first.data
        pass_time(site.store, WITHIN)
        again = site.refresh(token)
        assert again.status_code == 200
        old, new = (claims_of(body_of(reply)["refresh_token"]) for reply in (first, again))
        assert new["jti"] == old["jti"]
        assert site.lives(body_of(first)["refresh_token"])

    def test_a_repeat_has_the_ids_and_times_of_the_first_whatever_the_worker(
        self, store: redis.Redis
    ) -> None:
        sites = [Site(store) for _ in range(3)]
        token = sites[0].login()["refresh_token"]
        assert len({site.refresh(token).data for site in sites}) == 1

    def test_within_ten_seconds_an_older_link_of_a_chain_gives_its_own_successor(self, site: Site) -> None:
        first = site.login()
        second = site.refresh(first["refresh_token"])
        third = site.refresh(body_of(second)["refresh_token"])
        fourth = site.refresh(body_of(third)["refresh_token"])

        assert site.refresh(first["refresh_token"]).data == second.data
        assert site.refresh(body_of(second)["refresh_token"]).data == third.data
        assert site.refresh(first["refresh_token"]).data == second.data
        assert site.lives(body_of(fourth)["refresh_token"])

    def test_after_ten_seconds_a_used_token_ends_the_whole_session(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        pass_time(site.store, PAST)
        newest = site.refreshed(second["refresh_token"])

        assert problem_of(site.refresh(first["refresh_token"])) == INVALID_TOKEN
        for pair in (newest, second, first):
            assert problem_of(site.refresh(pair["refresh_token"])) == INVALID_TOKEN
        assert session_keys(site.store) == []

    def test_after_ten_seconds_the_one_before_the_newest_ends_it_too(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        pass_time(site.store, PAST)
        assert problem_of(site.refresh(first["refresh_token"])) == INVALID_TOKEN
        assert problem_of(site.refresh(second["refresh_token"])) == INVALID_TOKEN

    def test_a_repeat_does_not_prolong_the_ten_seconds(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        for _ in range(2):
            pass_time(site.store, WITHIN / 2)
            site.refreshed(first["refresh_token"])
        pass_time(site.store, PAST - WITHIN)
        assert problem_of(site.refresh(first["refresh_token"])) == INVALID_TOKEN
        assert problem_of(site.refresh(second["refresh_token"])) == INVALID_TOKEN

    def test_an_unspent_token_works_long_after(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        pass_time(site.store, MONTH - 60)
        assert site.lives(token)

    def test_an_access_token_outlives_its_ended_session(self, site: Site) -> None:
        pair = site.login()
        assert site.revoke(pair["refresh_token"]).status_code == 204
        assert site.me(pair["access_token"]).status_code == 200


class TestAbsoluteLife:
    def test_no_refresh_moves_the_end_of_the_session(self, site: Site) -> None:
        pair = site.login()
        day = 86_400
        exp = claims_of(pair["refresh_token"])["exp"] - day
        pass_time(site.store, day)
        before = ttls(site.store)
        assert len(before) == 2
        for _ in range(3):
            pair = site.refreshed(pair["refresh_token"])
            claims = claims_of(pair["refresh_token"])
            assert claims["exp"] == exp == claims["auth_time"] + MONTH
            assert pair["refresh_expires_in"] == exp - claims["iat"]
            after = ttls(site.store)
            assert after.keys() == before.keys()
            assert all(abs(after[key] - before[key]) < 200 for key in before)

    def test_an_access_token_ends_with_its_session(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        pass_time(site.store, MONTH - 100)
        pair = site.refreshed(token)
        access, refresh = claims_of(pair["access_token"]), claims_of(pair["refresh_token"])
        assert access["exp"] == refresh["exp"] == access["auth_time"] + MONTH
        assert pair["expires_in"] == pair["refresh_expires_in"] == access["exp"] - access["iat"]
        assert 97 <= pair["expires_in"] <= 100

    def test_a_session_whose_lifetime_is_over_is_gone(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        pass_time(site.store, MONTH + 1)
        assert problem_of(site.refresh(token)) == INVALID_TOKEN
        assert session_keys(site.store) == []


class TestManySessions:
    def test_a_phone_has_ten_and_the_eleventh_login_ends_the_oldest(self, store: redis.Redis) -> None:
        site = Site(store, **NO_IP_LIMIT)
        logins = []
        for _ in range(11):
            pass_time(store, 1)
            logins.append(site.login()["refresh_token"])
        assert [site.lives(token) for token in logins] == [False] + [True] * 10

    def test_the_oldest_by_login_ends_however_recently_it_was_refreshed(self, store: redis.Redis) -> None:
        site = Site(store, **NO_IP_LIMIT)
        oldest = site.login()["refresh_token"]
        others = []
        for _ in range(9):
            pass_time(store, 1)
            others.append(site.login()["refresh_token"])
        oldest = site.refreshed(oldest)["refresh_token"]
        newest = site.login()["refresh_token"]
        assert not site.lives(oldest)
        assert all(site.lives(token) for token in [*others, newest])

    def test_a_session_ended_by_an_eleventh_login_gives_no_pair_within_ten_seconds_either(
        self, store: redis.Redis
    ) -> None:
        site = Site(store, **NO_IP_LIMIT)
        token = site.login()["refresh_token"]
        site.refreshed(token)
        for _ in range(10):
            pass_time(store, 0.1)
            site.login()
        assert problem_of(site.refresh(token)) == INVALID_TOKEN

    def test_a_revoked_session_makes_room(self, store: redis.Redis) -> None:
        site = Site(store, **NO_IP_LIMIT)
        logins = []
        for _ in range(10):
            pass_time(store, 1)
            logins.append(site.login()["refresh_token"])
        site.revoke(logins.pop())
        logins.append(site.login()["refresh_token"])
        assert all(site.lives(token) for token in logins)

    def test_ending_one_session_leaves_the_phones_others(self, site: Site) -> None:
        one, two, three = (site.login()["refresh_token"] for _ in range(3))
        assert site.revoke(two).status_code == 204
        site.refreshed(three)
        pass_time(site.store, PAST)
        assert not site.lives(three)
        assert site.lives(one)

    def test_phones_do_not_touch_each_other(self, site: Site) -> None:
        mine, theirs = site.login(PHONE), site.login(OTHER_PHONE)
        assert mine["user"]["id"] != theirs["user"]["id"]
        for _ in range(10):
            site.login(PHONE)
        assert not site.lives(mine["refresh_token"])
        assert site.refreshed(theirs["refresh_token"])["user"] == theirs["user"]

    def test_a_token_that_names_another_phones_session_ends_nothing(self, site: Site) -> None:
        mine, theirs = site.login(PHONE)["refresh_token"], site.login(OTHER_PHONE)["refresh_token"]
        mixed = site.tokens._keys.sign(
            claims_of(mine) | {"sid": claims_of(theirs)["sid"], "jti": claims_of(theirs)["jti"]}, "rt+jwt"
        )
        assert problem_of(site.refresh(mixed)) == INVALID_TOKEN
        assert site.revoke(mixed).status_code == 204
        assert site.lives(mine)
        assert site.lives(theirs)


class TestRefusals:
    def test_a_token_is_refused_from_the_second_of_its_end_on_redis_clock(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        for ends_in in (-1, 0):
            expired = site.pair(token, ends_in=ends_in).refresh_token
            assert problem_of(site.refresh(expired)) == INVALID_TOKEN
        # The calls rotate no token and end no session. A token before its expiry is still accepted.
        assert site.lives(site.pair(token, ends_in=5).refresh_token)

    @pytest.mark.parametrize("garbage", GARBAGE)
    def test_garbage_is_refused(self, site: Site, garbage: str) -> None:
        assert problem_of(site.refresh(garbage)) == INVALID_TOKEN
        assert site.revoke(garbage).status_code == 204

    def test_an_access_token_is_no_refresh_token(self, site: Site) -> None:
        pair = site.login()
        assert problem_of(site.refresh(pair["access_token"])) == INVALID_TOKEN
        assert site.revoke(pair["access_token"]).status_code == 204
        assert site.lives(pair["refresh_token"])

    def test_a_genuine_token_of_a_session_that_redis_does_not_know_is_refused(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        site.store.flushall()
        assert problem_of(site.refresh(token)) == INVALID_TOKEN
        assert session_keys(site.store) == []

    def test_each_401_says_how_to_authenticate(self, site: Site) -> None:
        for reply in (site.refresh("x"), site.me("x"), site.client.get(ME)):
            assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
            assert reply.headers["Cache-Control"] == "no-store"
            assert "Retry-After" not in reply.headers

    @pytest.mark.parametrize("path", [REFRESH, REVOKE])
    @pytest.mark.parametrize("body", MALFORMED)
    def test_a_malformed_body_is_400(self, site: Site, path: str, body: bytes) -> None:
        reply = site.client.post(path, data=body, content_type="application/json")
        assert problem_of(reply) == (400, "invalid_request")

    @pytest.mark.parametrize("path", [REFRESH, REVOKE])
    def test_a_wrong_field_is_named(self, site: Site, path: str) -> None:
        reply = site.client.post(path, json={"refresh_token": 7})
        assert list(json.loads(reply.data)["errors"]) == ["refresh_token"]

    @pytest.mark.parametrize("path", [REFRESH, REVOKE])
    @pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "x"])
    def test_another_content_type_is_415(self, site: Site, path: str, kind: str | None) -> None:
        token = site.login()["refresh_token"]
        reply = site.client.post(path, data=json.dumps({"refresh_token": token}), content_type=kind)
        assert problem_of(reply) == (415, "unsupported_media_type")
        assert site.lives(token)

    @pytest.mark.parametrize("path", [REFRESH, REVOKE])
    def test_a_body_over_eight_kilobytes_is_413(self, site: Site, path: str) -> None:
        reply = site.client.post(path, json={"refresh_token": "a" * 8192})
        assert problem_of(reply) == (413, "payload_too_large")

    @pytest.mark.parametrize("path", [REFRESH, REVOKE])
    def test_only_post_is_there(self, site: Site, path: str) -> None:
        assert problem_of(site.client.get(path)) == (405, "method_not_allowed")


class TestRevoke:
    def test_it_ends_the_session_and_says_so_again_and_again(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        for _ in range(3):
            reply = site.revoke(token)
            assert (reply.status_code, reply.data) == (204, b"")
            assert reply.headers["Cache-Control"] == "no-store"
        assert problem_of(site.refresh(token)) == INVALID_TOKEN
        assert session_keys(site.store) == []

    def test_a_used_token_ends_the_session_at_once(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        assert site.revoke(first["refresh_token"]).status_code == 204
        # Even the successors of the last ten seconds are not returned again.
        for pair in (first, second):
            assert problem_of(site.refresh(pair["refresh_token"])) == INVALID_TOKEN

    def test_a_token_used_long_ago_ends_it_too(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        pass_time(site.store, 3600)
        third = site.refreshed(second["refresh_token"])
        assert site.revoke(first["refresh_token"]).status_code == 204
        assert not site.lives(third["refresh_token"])

    def test_an_unknown_session_is_204(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        site.store.flushall()
        assert site.revoke(token).status_code == 204

    def test_an_expired_token_is_204(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        assert site.revoke(site.pair(token, ends_in=-1).refresh_token).status_code == 204


class TestMe:
    def test_it_is_the_user_of_the_login(self, site: Site) -> None:
        login = site.login()
        reply = site.me(login["access_token"])
        assert (reply.status_code, body_of(reply)) == (200, login["user"])
        assert reply.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_has_no_case(self, site: Site, scheme: str) -> None:
        token = site.login()["access_token"]
        reply = site.client.get(ME, headers={"Authorization": f"{scheme} {token}"})
        assert reply.status_code == 200

    @pytest.mark.parametrize(
        "value",
        ["", "Bearer", "Bearer ", "{}", "Basic {}", "Token {}", "Bearer{}", "Bearer {} {}", "DPoP {}"],
    )
    def test_anything_but_a_bearer_token_is_refused(self, site: Site, value: str) -> None:
        token = site.login()["access_token"]
        reply = site.client.get(ME, headers={"Authorization": value.replace("{}", token)})
        assert problem_of(reply) == INVALID_TOKEN

    def test_without_a_token_it_is_401(self, site: Site) -> None:
        assert problem_of(site.client.get(ME)) == INVALID_TOKEN

    def test_a_token_in_the_query_or_a_cookie_counts_for_nothing(self, site: Site) -> None:
        token = site.login()["access_token"]
        assert problem_of(site.client.get(f"{ME}?access_token={token}")) == INVALID_TOKEN
        for name in ("__Host-access", "access_token"):
            reply = site.client.get(ME, headers={"Cookie": f"{name}={token}"})
            assert problem_of(reply) == INVALID_TOKEN

    def test_a_refresh_token_is_no_access_token(self, site: Site) -> None:
        assert problem_of(site.me(site.login()["refresh_token"])) == INVALID_TOKEN

    def test_an_expired_one_is_refused(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        assert problem_of(site.me(site.pair(token, ends_in=-1).access_token)) == INVALID_TOKEN
        assert site.me(site.pair(token, ends_in=30).access_token).status_code == 200

    def test_it_asks_no_store(self, redis_server: RedisServer) -> None:
        with RedisProxy(redis_server.port) as proxy:
            store = connect(proxy.url)
            assert isinstance(store, redis.Redis)
            site = Site(store)
            token = site.login()["access_token"]
            asked = proxy.seen()
            assert site.me(token).status_code == 200
            assert site.me("x").status_code == 401
            assert proxy.seen() == asked
            store.close()


class TestIpLimit:
    def test_a_refresh_tells_what_the_address_has_left(self, site: Site) -> None:
        first = site.refresh(site.login()["refresh_token"])
        assert first.headers["RateLimit-Policy"] == '"ip";q=60;w=60'
        assert first.headers["RateLimit"] == '"ip";r=59;t=60'
        for left, reply in ((58, site.refresh("x")), (57, site.client.post(REFRESH, data="x"))):
            assert reply.headers["RateLimit"].startswith(f'"ip";r={left};t=')

    def test_sixty_a_minute_by_default_for_each_endpoint(self, site: Site) -> None:
        token = site.login()["refresh_token"]
        for call, status in ((site.refresh, 401), (site.revoke, 204)):
            assert {call("x").status_code for _ in range(60)} == {status}
            refused = call(token)
            assert problem_of(refused) == (429, "rate_limited")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert refused.headers["RateLimit"].startswith('"ip";r=0;t=')
        # The refused requests had no effect, and other endpoints have limits of their own.
        (key,) = session_keys(site.store)
        assert site.store.hget(key, "refresh") == claims_of(token)["jti"].encode()
        assert site.login()["user"]["phone_number"] == PHONE

    def test_it_follows_its_setting(self, store: redis.Redis) -> None:
        site = Site(store, TOKEN_IP_LIMITS="2/minute;3/hour")
        replies = [site.revoke("x") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [204, 204, 429]
        assert replies[0].headers["RateLimit-Policy"] == '"ip";q=2;w=60, "ip-3600";q=3;w=3600'

    def test_me_is_not_counted(self, store: redis.Redis) -> None:
        site = Site(store, TOKEN_IP_LIMITS="1/minute", OTP_IP_LIMITS="2/minute")
        token = site.login()["access_token"]
        replies = [site.me(token) for _ in range(70)] + [site.me("x") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200] * 70 + [401] * 3
        assert not any(name.startswith("RateLimit") for reply in replies for name, _ in reply.headers)


class TestRoundTrips:
    def test_a_refresh_and_a_revoke_ask_redis_twice(self, real_store: redis.Redis) -> None:
        site = Site(real_store)
        token = site.login()["refresh_token"]
        for call in (site.refresh, site.refresh, site.revoke, site.revoke):
            real_store.config_resetstat()
            assert call(token).status_code in (200, 204)
            stats = real_store.info("commandstats")
            assert stats["cmdstat_evalsha"]["calls"] == 2
            # The rest are the calls of the scripts themselves.
            assert {name.removeprefix("cmdstat_") for name in stats} <= {
                *("evalsha", "config|resetstat", "config", "time", "pexpire", "del"),
                *("zadd", "zcount", "zrangebyscore", "zremrangebyscore", "zscore", "zrem"),
                *("hmget", "hset", "hgetall", "hdel", "info"),
            }

    def test_no_more_requests_than_two_go_over_the_wire(self, redis_server: RedisServer) -> None:
        with RedisProxy(redis_server.port) as proxy:
            store = connect(proxy.url)
            assert isinstance(store, redis.Redis)
            site = Site(store)
            token = site.login()["refresh_token"]
            for call, asked in ((site.refresh, 2), (site.revoke, 2)):
                proxy.reset()
                assert call(token).status_code in (200, 204)
                assert proxy.seen() == asked
            proxy.reset()
            assert site.refresh("garbage").status_code == 401
            assert proxy.seen() == 1
            store.close()


class TestTime:
    def test_the_times_in_tokens_are_redis_times(self, site: Site) -> None:
        before = int(now(site.store))
        claims = claims_of(site.refreshed(site.login()["refresh_token"])["access_token"])
        assert before <= claims["auth_time"] <= claims["iat"] <= now(site.store)
