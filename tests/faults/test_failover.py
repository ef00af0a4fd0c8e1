"""Redis's primary dies and a replica takes over: which functions continue, and which data are lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otp_gateway.store import connect
from tests.api.support import OTHER, PHONE, SEND, VERIFY, Api, Recorder, make_api
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, start_sentinel, wait_until

NAME = "otp"
REFRESH = "/api/v1/usr/token/refresh"
REVOKE = "/api/v1/usr/token/revoke"


@pytest.fixture
def primary() -> Iterator[RedisServer]:
    # A replica does not have to wait for further replicas.
    with RedisServer("--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def replica(primary: RedisServer) -> Iterator[RedisServer]:
    """A replica with all data of the primary."""
    with RedisServer("--replicaof", "127.0.0.1", str(primary.port)) as server:
        wait_until(lambda: is_in_step(primary, server), "the replica")
        yield server


def is_in_step(primary: RedisServer, replica: RedisServer) -> bool:
    with primary.client() as one, replica.client() as other:
        here, there = one.info("replication"), other.info("replication")
    linked = there["role"] == "slave" and there["master_link_status"] == "up"
    return bool(linked and here["master_repl_offset"] == there["slave_repl_offset"])


def test_behind_sentinel_a_failover_is_a_pause_and_no_restart(
    primary: RedisServer, replica: RedisServer, emulator: KavenegarEmulator
) -> None:
    with start_sentinel(primary.port, NAME) as sentinel:
        env = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": f"redis+sentinel://127.0.0.1:{sentinel}/{NAME}",
            "KAVENEGAR_API_KEY": emulator.api_key,
            "KAVENEGAR_BASE_URL": emulator.base_url,
            "OTP_IP_LIMITS": "1000/minute",
        }
        with Gateway(env) as gateway:
            assert gateway.post(SEND, {"phone_number": PHONE}).status_code == 200
            code = emulator.code_for(PHONE)
            login = gateway.post(VERIFY, {"phone_number": PHONE, "code": code})
            assert login.status_code == 200
            assert gateway.post(SEND, {"phone_number": OTHER}).status_code == 200
            wait_until(lambda: is_in_step(primary, replica), "the replica")

            primary.kill()
            assert gateway.post(SEND, {"phone_number": OTHER}).status_code == 503
            wait_until(lambda: gateway.get("/readyz").status_code == 200, "the failover", timeout=40)

            # The data that the replica had received are kept: the used code, the active one, the session.
            again = gateway.post(VERIFY, {"phone_number": PHONE, "code": code})
            assert again.json()["code"] == "invalid_code"
            live = gateway.post(VERIFY, {"phone_number": OTHER, "code": emulator.code_for(OTHER)})
            assert live.status_code == 200
            token = login.json()["refresh_token"]
            assert gateway.post(REFRESH, {"refresh_token": token}).status_code == 200


def test_what_a_failover_loses_can_happen_once_more(primary: RedisServer, replica: RedisServer) -> None:
    sender = Recorder()
    before = make_api(connect(primary.url), sender)
    assert before.send().status_code == 200
    assert before.verify(OTHER, "000000").json["attempts_remaining"] == 2  # type: ignore[index]
    stays = login(before, "+989121111111", sender)
    wait_until(lambda: is_in_step(primary, replica), "the replica")
    with replica.client() as client:
        # From here on it receives no data. This is the same as if the primary dies before it has sent them.
        client.replicaof("NO", "ONE")

    code = sender.code_for(PHONE)
    lost = before.verify(PHONE, code)
    assert lost.status_code == 200
    assert before.verify(OTHER, "000000").json["attempts_remaining"] == 1  # type: ignore[index]
    assert before.post(REVOKE, {"refresh_token": stays}).status_code == 204
    assert before.send("+989122222222").status_code == 200
    primary.kill()

    after = make_api(connect(replica.url), sender)
    # The session of the login is unknown. Its code was used, but that is lost. So the code works once more,
    # not twice.
    assert lost.json is not None
    assert after.post(REFRESH, {"refresh_token": lost.json["refresh_token"]}).status_code == 401
    assert after.verify(PHONE, code).status_code == 200
    assert after.verify(PHONE, code).status_code == 400
    # The try and the send that were counted are not counted any more. The session that was ended is valid
    # again.
    assert after.verify(OTHER, "000000").json["attempts_remaining"] == 1  # type: ignore[index]
    assert [after.send("+989122222222").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert after.post(REFRESH, {"refresh_token": stays}).status_code == 200


def test_a_primary_that_must_have_a_replica_and_has_none_does_nothing_of_a_request() -> None:
    with RedisServer("--min-replicas-to-write", "1") as server, server.client() as client:
        if client.info("server")["redis_version"].startswith("6."):
            pytest.skip("Redis 6 does not ask for replicas inside scripts")
        sender = Recorder()
        api = make_api(connect(server.url), sender)
        for reply in (api.send(), api.verify(PHONE, "000000")):
            assert reply.json is not None
            assert (reply.status_code, reply.json["code"]) == (503, "store_unavailable")
        assert sender.sent == []
        assert list(api.redis.scan_iter()) == []


def login(api: Api, phone: str, sender: Recorder) -> str:
    """A refresh token of the phone."""
    assert api.send(phone).status_code == 200
    reply = api.verify(phone, sender.code_for(phone))
    assert reply.json is not None
    token: str = reply.json["refresh_token"]
    return token
