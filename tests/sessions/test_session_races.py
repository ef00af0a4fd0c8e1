"""Sessions under parallel requests and incidents: real gunicorn workers on real Redis."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import requests

from otp_gateway.store.scripts import sources
from tests.sessions.site import OTP, REFRESH, REVOKE, VERIFY, claims_of, environment, pass_time, session_keys
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"
LONGEST_503 = 3.0
ALWAYS = 10_000
Call = Callable[[], requests.Response]


def sha(script: str) -> bytes:
    return hashlib.sha1(sources()[script].encode(), usedforsecurity=False).hexdigest().encode()


@pytest.fixture(scope="module")
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def running(proxy: RedisProxy, running_emulator: KavenegarEmulator) -> Iterator[Gateway]:
    with Gateway(environment(proxy.url, running_emulator), workers=2) as gateway:
        yield gateway


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def gateway(
    running: Gateway, proxy: RedisProxy, store: redis.Redis, emulator: KavenegarEmulator
) -> Iterator[Gateway]:
    """Two workers on a clean Redis, behind a proxy that forwards everything."""
    emulator.clear()
    proxy.reset()
    store.flushall()
    yield running
    proxy.reset()


def login(gateway: Gateway, emulator: KavenegarEmulator, phone: str = PHONE) -> str:
    """The refresh token of a new session."""
    assert gateway.post(OTP, {"phone_number": phone}).status_code == 200
    reply = gateway.post(VERIFY, {"phone_number": phone, "code": emulator.code_for(phone)})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["refresh_token"])


def refresh(gateway: Gateway, token: str) -> requests.Response:
    return gateway.post(REFRESH, {"refresh_token": token})


def revoke(gateway: Gateway, token: str) -> requests.Response:
    return gateway.post(REVOKE, {"refresh_token": token})


def at_once(calls: list[Call]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def next_token(reply: requests.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["refresh_token"])


def outcome(reply: requests.Response) -> tuple[int, str | None]:
    return reply.status_code, reply.json()["code"] if reply.content else None


def snapshot(store: redis.Redis) -> dict[bytes, Any]:
    """Every session, and the phone's list of them."""
    return {
        key: store.hgetall(key) if store.type(key) == b"hash" else store.zrange(key, 0, -1, withscores=True)
        for key in store.scan_iter(match="otp:*:session*")
    }


def uses(store: redis.Redis) -> int:
    """How many tokens of the only session were rotated in the last ten seconds."""
    (key,) = session_keys(store)
    fields: list[Any] = store.hkeys(key)
    return sum(name.startswith(b"s:") for name in fields)


class TestAtOnce:
    def test_fifty_refreshes_with_one_token_leave_one_session_and_one_successor(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        token = login(gateway, emulator)

        replies = at_once([lambda: refresh(gateway, token)] * 50)

        assert {reply.status_code for reply in replies} == {200}
        assert len({reply.content for reply in replies}) == 1
        assert uses(store) == 1
        (key,) = session_keys(store)
        successor = next_token(replies[0])
        assert store.hget(key, "refresh") == claims_of(successor)["jti"].encode()
        assert refresh(gateway, successor).status_code == 200

    def test_refreshes_along_a_chain_all_get_their_own_link(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        chain = [login(gateway, emulator)]
        bodies = []
        for _ in range(4):
            reply = refresh(gateway, chain[-1])
            bodies.append(reply.content)
            chain.append(next_token(reply))

        def ask(link: int) -> Call:
            return lambda: refresh(gateway, chain[link])

        replies = at_once([ask(link) for link in (0, 1, 2, 3, 4)] * 8)

        for link in range(4):
            assert {reply.content for reply in replies[link::5]} == {bodies[link]}
        assert len({reply.content for reply in replies[4::5]}) == 1
        assert uses(store) == 5
        assert refresh(gateway, next_token(replies[4])).status_code == 200

    def test_a_revoke_among_refreshes_ends_the_session_for_all(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        for turn in range(6):
            token = login(gateway, emulator, f"+98912345678{turn}")
            calls: list[Call] = [lambda t=token: refresh(gateway, t)] * 10  # type: ignore[misc]  # mypy cannot infer a lambda's default
            calls.insert(turn * 2, lambda t=token: revoke(gateway, t))  # type: ignore[misc]  # as above

            replies = at_once(calls)

            found = Counter(reply.status_code for reply in replies)
            assert found[204] == 1
            assert set(found) <= {200, 204, 401}
            assert len({reply.content for reply in replies if reply.status_code == 200}) <= 1
            assert snapshot(store) == {}
            for reply in replies:
                if reply.status_code == 200:
                    assert refresh(gateway, next_token(reply)).status_code == 401

    def test_a_copied_old_token_among_refreshes_ends_the_session_for_all(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        for turn in range(4):
            old = login(gateway, emulator, f"+98912345678{turn}")
            new = next_token(refresh(gateway, old))
            pass_time(store, 10)
            calls: list[Call] = [lambda t=new: refresh(gateway, t)] * 10  # type: ignore[misc]  # as above
            calls.insert(turn * 3, lambda t=old: refresh(gateway, t))  # type: ignore[misc]  # as above

            replies = at_once(calls)

            assert replies[turn * 3].status_code == 401
            assert {reply.status_code for reply in replies} <= {200, 401}
            assert snapshot(store) == {}
            for reply in replies:
                if reply.status_code == 200:
                    assert refresh(gateway, next_token(reply)).status_code == 401

    def test_sessions_of_many_phones_at_once_stay_apart(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        tokens = {f"+98912000{n:04d}": "" for n in range(12)}
        for phone in tokens:
            tokens[phone] = login(gateway, emulator, phone)
        ended, kept = list(tokens)[:6], list(tokens)[6:]
        calls: list[Call] = [lambda t=tokens[p]: revoke(gateway, t) for p in ended]  # type: ignore[misc]  # as above
        calls += [lambda t=tokens[p]: refresh(gateway, t) for p in kept] * 2
        replies = at_once(calls)
        assert [reply.status_code for reply in replies] == [204] * 6 + [200] * 12
        assert [r.json()["user"]["phone_number"] for r in replies[6:]] == kept * 2
        assert len(session_keys(store)) == 6


class TestLostReplies:
    @pytest.mark.parametrize("losses", [1, 2])
    def test_a_lost_reply_of_a_refresh_uses_one_token(
        self,
        gateway: Gateway,
        proxy: RedisProxy,
        store: redis.Redis,
        emulator: KavenegarEmulator,
        losses: int,
    ) -> None:
        token = login(gateway, emulator)
        proxy.drop_replies(losses, sha("rotate"))
        reply = refresh(gateway, token)
        assert proxy.dropped == losses
        assert uses(store) == 1
        # The tokens of the lost reply are those that the client gets in the next one.
        assert refresh(gateway, token).content == reply.content
        assert refresh(gateway, next_token(reply)).status_code == 200
        assert uses(store) == 2

    @pytest.mark.parametrize("losses", [1, 2])
    def test_a_lost_reply_of_a_repeat_gives_the_same_pair(
        self,
        gateway: Gateway,
        proxy: RedisProxy,
        store: redis.Redis,
        emulator: KavenegarEmulator,
        losses: int,
    ) -> None:
        token = login(gateway, emulator)
        first = refresh(gateway, token)
        proxy.drop_replies(losses, sha("rotate"))
        assert refresh(gateway, token).content == first.content
        assert proxy.dropped == losses
        assert uses(store) == 1

    def test_a_request_that_never_reached_redis_is_sent_again(
        self, gateway: Gateway, proxy: RedisProxy, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        token = login(gateway, emulator)
        proxy.drop_requests(2, sha("rotate"))
        reply = refresh(gateway, token)
        assert proxy.dropped == 2
        assert uses(store) == 1
        proxy.drop_requests(2, sha("revoke"))
        assert revoke(gateway, next_token(reply)).status_code == 204
        assert snapshot(store) == {}

    def test_a_client_that_got_503_for_a_refresh_that_ran_gets_its_pair_by_asking_again(
        self, gateway: Gateway, proxy: RedisProxy, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        token = login(gateway, emulator)
        proxy.drop_replies(ALWAYS, sha("rotate"))
        started = time.monotonic()
        assert outcome(refresh(gateway, token)) == (503, "store_unavailable")
        assert time.monotonic() - started < LONGEST_503
        proxy.reset()
        assert uses(store) == 1
        successor = next_token(refresh(gateway, token))
        assert uses(store) == 1
        assert refresh(gateway, successor).status_code == 200

    @pytest.mark.parametrize("losses", [1, 2])
    def test_a_lost_reply_of_a_revoke_is_204(
        self, gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, losses: int
    ) -> None:
        token, other = login(gateway, emulator), login(gateway, emulator)
        proxy.drop_replies(losses, sha("revoke"))
        assert outcome(revoke(gateway, token)) == (204, None)
        assert proxy.dropped == losses
        assert refresh(gateway, token).status_code == 401
        assert refresh(gateway, other).status_code == 200

    @pytest.mark.parametrize("losses", [1, 2])
    def test_a_lost_reply_of_a_replayed_old_token_still_ends_the_session(
        self,
        gateway: Gateway,
        proxy: RedisProxy,
        store: redis.Redis,
        emulator: KavenegarEmulator,
        losses: int,
    ) -> None:
        token = login(gateway, emulator)
        newest = next_token(refresh(gateway, token))
        pass_time(store, 10)
        proxy.drop_replies(losses, sha("rotate"))
        assert outcome(refresh(gateway, token)) == (401, "invalid_token")
        assert outcome(refresh(gateway, newest)) == (401, "invalid_token")


class TestStalls:
    def test_a_command_that_was_held_while_its_request_gave_up_does_nothing(
        self, gateway: Gateway, proxy: RedisProxy, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        old = login(gateway, emulator)
        token = next_token(refresh(gateway, old))
        pass_time(store, 10)
        before = snapshot(store)
        held: list[tuple[str, Call]] = [
            ("rotate", lambda: refresh(gateway, token)),
            ("revoke", lambda: revoke(gateway, token)),
            # This call would end the session, because its old token is used again. It must not run late.
            ("rotate", lambda: refresh(gateway, old)),
        ]
        for script, call in held:
            proxy.hold(sha(script))
            started = time.monotonic()
            reply = call()
            assert outcome(reply) == (503, "store_unavailable")
            assert int(reply.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < LONGEST_503
            assert proxy.held > 0
            proxy.release()
            time.sleep(0.2)
            assert snapshot(store) == before
        assert refresh(gateway, token).status_code == 200

    def test_a_redis_that_stood_still_does_nothing_that_was_answered_503(
        self, emulator: KavenegarEmulator
    ) -> None:
        with (
            RedisServer() as server,
            Gateway(environment(server.url, emulator), workers=1) as gateway,
            server.client() as store,
        ):
            tokens = [login(gateway, emulator, f"+98912000000{n}") for n in range(8)]
            before = snapshot(store)
            server.pause()
            calls: list[Call] = [lambda t=t: refresh(gateway, t) for t in tokens * 2]  # type: ignore[misc]  # as above
            calls += [lambda t=t: revoke(gateway, t) for t in tokens]  # type: ignore[misc]  # as above
            replies = at_once(calls)
            server.resume()
            assert {outcome(reply) for reply in replies} == {(503, "store_unavailable")}
            time.sleep(0.2)
            assert snapshot(store) == before
            assert {refresh(gateway, token).status_code for token in tokens} == {200}

    def test_a_redis_without_memory_uses_no_token(
        self, gateway: Gateway, store: redis.Redis, emulator: KavenegarEmulator
    ) -> None:
        token = login(gateway, emulator)
        before = snapshot(store)
        store.config_set("maxmemory", "1")
        try:
            assert outcome(refresh(gateway, token)) == (503, "store_unavailable")
            assert snapshot(store) == before
        finally:
            store.config_set("maxmemory", "0")
        assert refresh(gateway, token).status_code == 200
