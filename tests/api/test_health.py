"""Probes: whether the process answers, whether it can do its work, and if not, which part fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
import redis

from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from otp_gateway.store.scripts import Scripts, sources
from otp_gateway.store.write_probe import FRESH_SECONDS, WriteProbe
from tests.api.support import Api, assert_problem, make_api, retry_after
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer, start_cluster
from tests.support.servers import free_port


def away(**variables: str) -> Api:
    """A gateway whose Redis is unavailable."""
    return make_api(connect(f"redis://127.0.0.1:{free_port()}/0"), None, None, **variables)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_answers_as_long_as_the_process_does(method: str) -> None:
    for api in (make_api(), away(), make_api(KAVENEGAR_API_KEY="")):
        reply = api.request(method, "/healthz")
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == "application/json"
        assert bool(reply.data) == (method == "GET")


def test_readyz_is_content_when_redis_answers_and_sms_is_configured(redis_client: RedisClient) -> None:
    reply = make_api(redis_client, KAVENEGAR_API_KEY="a-key").get("/readyz")
    assert reply.status_code == 200
    assert reply.json == {"status": "ready", "parts": {"redis": "ok", "sms": "ok"}}


def test_readyz_names_redis_when_it_is_unavailable() -> None:
    reply = away(KAVENEGAR_API_KEY="a-key").get("/readyz")
    problem = assert_problem(reply, 503, "store_unavailable", members=["parts", "reasons"])
    assert problem["parts"] == {"redis": "store_unavailable", "sms": "ok"}
    assert retry_after(reply) >= 1


def test_readyz_names_the_sms_service_when_it_has_no_key(redis_client: RedisClient) -> None:
    reply = make_api(redis_client, KAVENEGAR_API_KEY="").get("/readyz")
    problem = assert_problem(reply, 503, "sms_not_configured", members=["parts", "reasons"])
    assert problem["parts"] == {"redis": "ok", "sms": "sms_not_configured"}


def test_readyz_names_both_when_both_are_missing() -> None:
    problem = assert_problem(
        away(KAVENEGAR_API_KEY="").get("/readyz"), 503, "store_unavailable", members=["parts", "reasons"]
    )
    assert problem["parts"] == {"redis": "store_unavailable", "sms": "sms_not_configured"}


def test_the_console_needs_no_key() -> None:
    reply = make_api(KAVENEGAR_API_KEY="", SMS_BACKEND="console").get("/readyz")
    assert reply.status_code == 200


def test_readyz_tells_neither_address_nor_key() -> None:
    reply = away(KAVENEGAR_API_KEY="a-very-secret-key").get("/readyz")
    assert "127.0.0.1" not in reply.text
    assert "a-very-secret-key" not in reply.text


def test_probes_are_not_counted_and_not_limited() -> None:
    api = make_api(OTP_IP_LIMITS="1/minute", KAVENEGAR_API_KEY="a-key")
    for path in ("/healthz", "/readyz"):
        assert [api.get(path).status_code for _ in range(5)] == [200] * 5
    assert list(api.redis.scan_iter()) == []


def test_readiness_follows_redis_as_it_goes_and_comes() -> None:
    with RedisServer() as server:
        api = make_api(connect(server.url), KAVENEGAR_API_KEY="a-key")
        assert api.get("/readyz").status_code == 200
        server.kill()
        time.sleep(FRESH_SECONDS)
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        assert api.send().status_code == 503
        server.start()
        time.sleep(FRESH_SECONDS)
        assert api.get("/readyz").status_code == 200
        # Its scripts are lost, too, but no client sees an error.
        assert api.verify("+989123456789", "000000").status_code == 400


def test_a_running_gateway_is_ready(wire: Gateway) -> None:
    assert json.loads(wire.get("/readyz").content)["status"] == "ready"


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def not_ready(server: RedisServer, client: redis.Redis) -> str:
    """The reason that a gateway on this server gives; logins through it fail, too."""
    api = make_api(connect(server.url), KAVENEGAR_API_KEY="a-key")
    reply = api.get("/readyz")
    problem = assert_problem(reply, 503, "store_unavailable", members=["parts", "reasons"])
    assert problem["parts"]["redis"] == "store_unavailable"
    assert api.verify("+989123456789", "000000").status_code == 503
    assert api.get("/healthz").status_code == 200
    del client
    reason: str = problem["reasons"]["redis"]
    return reason


def test_a_redis_without_memory_is_not_ready(own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        assert not_ready(own_server, client) == "out_of_memory"


def test_a_replica_is_not_ready(own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
        assert not_ready(own_server, client) == "read_only"


def test_a_redis_without_its_replicas_is_not_ready(own_server: RedisServer) -> None:
    with own_server.client() as client:
        if client.info("server")["redis_version"] < "7":
            pytest.skip("Redis 6 does not apply min-replicas-to-write inside scripts")
        client.config_set("min-replicas-to-write", 1)
        assert not_ready(own_server, client) == "read_only"


@pytest.mark.parametrize(
    "command", ["hset", "rpush", "zadd", "set", "pexpire", "hgetall", "zincrby", "lindex"]
)
def test_a_command_that_is_forbidden_inside_scripts_is_not_ready(
    own_server: RedisServer, command: str
) -> None:
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f"-{command}")
        api = make_api(connect(own_server.url), KAVENEGAR_API_KEY="a-key")
        reply = api.get("/readyz")
        problem = assert_problem(reply, 503, "store_unavailable", members=["parts", "reasons"])
        assert problem["reasons"] == {"redis": "permission"}


def test_the_sms_service_without_a_key_is_the_reason_by_its_code() -> None:
    problem = assert_problem(
        make_api(KAVENEGAR_API_KEY="").get("/readyz"), 503, "sms_not_configured", members=["parts", "reasons"]
    )
    assert problem["reasons"] == {"sms": "sms_not_configured"}


def test_a_worker_probes_redis_once_a_second_at_most(own_server: RedisServer) -> None:
    api = make_api(connect(own_server.url), KAVENEGAR_API_KEY="a-key")
    with own_server.client() as client:
        client.config_resetstat()
        began = time.monotonic()
        for _ in range(50):
            assert api.get("/readyz").status_code == 200
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert calls <= 2 + (time.monotonic() - began) / FRESH_SECONDS
        assert client.dbsize() == 0


def test_every_primary_of_a_cluster_is_probed() -> None:
    with start_cluster() as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        store = connect(url)
        probe = WriteProbe(store, Scripts(store))
        assert probe.fault() is None
        for node in nodes:
            with node.client() as client:
                assert client.info("commandstats").get("cmdstat_rpush")


def test_the_probe_writes_with_every_command_of_the_login_scripts() -> None:
    def commands(name: str) -> set[str]:
        return set(re.findall(r"redis\.call\('(\w+)'", sources()[name]))

    needed = set().union(*(commands(name) for name in ("issue", "verify", "admit")))
    assert needed <= commands("probe")
