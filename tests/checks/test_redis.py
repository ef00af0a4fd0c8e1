"""The checklist's findings about Redis, in every state. The checklist does not change Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import pytest
import redis
from redis.exceptions import ResponseError

from otp_gateway.checks import redis as redis_checks
from otp_gateway.checks import redis_tls
from otp_gateway.errors import StoreUnavailable
from otp_gateway.store import error_labels
from tests.checks.support import Report, checked
from tests.conftest import make_settings
from tests.support.certificates import make_certificate, serving
from tests.support.proxy import RedisProxy
from tests.support.redis_liar import RedisLiar, clock, error, text
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel, wait_until
from tests.support.servers import LoopbackServer, free_port

LINES = ["redis", "eviction", "connections", "round_trip", "clock", "redis_tls"]
PASSWORD = "redis-password-of-the-tests"


def of_redis(report: Report) -> list[tuple[str, str, str]]:
    """The findings about Redis."""
    return [finding for finding in report.findings if finding[0] in LINES]


def dump(client: redis.Redis) -> dict[bytes, tuple[bytes, bool]]:
    """Every key, its value, and whether it has a TTL."""
    return {key: (client.dump(key) or b"", client.pttl(key) > 0) for key in client.scan_iter()}


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    """The shared server, its settings as they were."""
    redis_server.clear()
    with redis_server.client() as client:
        before = {name: client.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
        yield redis_server
        for name, value in before.items():
            client.config_set(name, value)


@contextmanager
def user(server: RedisServer, *rules: str) -> Iterator[str]:
    """The URL of a user of these rules."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "checker", "on", f">{PASSWORD}", *rules)
        try:
            yield server.url.replace("://", f"://checker:{PASSWORD}@")
        finally:
            client.execute_command("ACL", "DELUSER", "checker")


def test_a_good_redis_is_fine_and_left_as_it_was(server: RedisServer) -> None:
    with server.client() as client:
        client.set("otp:{a}:failures", 7, ex=1000)
        client.hset("otp:{a}:code", mapping={"phone": "+98912***6789", "nonce": "6abc"})
        client.zadd("ip:{b}:usr.send_otp", {"x": 1})
        before = dump(client)
        report = checked(REDIS_URL=server.url)
        assert dump(client) == before
        assert client.config_resetstat()
    assert [(name, status) for name, status, _ in of_redis(report)] == [(name, "ok") for name in LINES]
    assert "primary, runs the scripts" in report["redis"][1]
    assert report["redis_tls"][1] == "on this machine"


def test_the_embedded_store_is_a_fault() -> None:
    status, message = checked()["redis"]
    assert status == "fault"
    assert "REDIS_URL" in message


def test_a_redis_that_is_unavailable_is_one_fault() -> None:
    report = checked(REDIS_URL=f"redis://user:{PASSWORD}@127.0.0.1:{free_port()}/0")
    assert of_redis(report) == [
        (
            "redis",
            "fault",
            "unreachable: look at REDIS_URL, whether Redis runs there, and with TLS at its maxclients",
        )
    ]
    assert PASSWORD not in report.output


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_a_redis_that_hangs_is_one_fault(scheme: str) -> None:
    with RedisServer() as server:
        server.pause()
        path = "name" if "sentinel" in scheme else ""
        report = checked(REDIS_URL=f"{scheme}://127.0.0.1:{server.port}/{path}")
    ((_, status, message),) = of_redis(report)
    assert status == "fault"
    assert "look at" in message


def test_a_redis_that_sends_data_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otp_gateway.checks.REDIS_SECONDS", 1.0)

    def drip(connection: socket, _: object) -> None:
        # The head of a long reply. Without it, the client refuses the first byte.
        connection.sendall(b"$1000\r\n")
        while not dripping.closing.wait(0.2):
            connection.sendall(b"x")

    dripping = LoopbackServer(drip)
    dripping.start()
    try:
        report = checked(REDIS_URL=f"redis://127.0.0.1:{dripping.port}/0")
    finally:
        dripping.stop()
    ((_, status, message),) = of_redis(report)
    assert status == "fault"
    assert "not done within 1 s" in message
    # The later findings are checked nevertheless.
    assert report.names[-1] == "proxies"


@pytest.mark.parametrize(
    ("rules", "advice"),
    [
        (("~*", "+@all", "-@scripting"), "permission: give its user these rights: ~otp:* "),
        (("~other:*", "+@all"), "permission: give its user these rights: ~otp:* "),
        (("~*", "+@all", "-@write", "+script", "+eval"), "permission: give its user these rights: ~otp:* "),
    ],
    ids=["no scripts", "other keys", "no writes"],
)
def test_a_user_that_may_not_do_what_the_gateway_needs_is_a_fault(
    server: RedisServer, rules: tuple[str, ...], advice: str
) -> None:
    with user(server, *rules) as url:
        report = checked(REDIS_URL=url)
    ((_, status, message),) = of_redis(report)
    assert status == "fault"
    assert message.startswith(advice)
    assert PASSWORD not in report.output


def test_a_wrong_password_is_a_fault(server: RedisServer) -> None:
    with user(server, "~*", "+@all") as url:
        report = checked(REDIS_URL=url.replace(PASSWORD, "another-password"))
    assert report["redis"] == (
        "fault",
        "authentication: it needs another user or password: look at REDIS_URL",
    )
    assert "another-password" not in report.output


def test_what_a_user_may_not_ask_is_a_warning_under_its_own_name(server: RedisServer) -> None:
    with user(server, "~*", "&*", "+@all", "-info", "-config") as url:
        report = checked(REDIS_URL=url)
    assert [(name, status) for name, status, _ in of_redis(report)] == [
        ("redis", "warning"),
        ("eviction", "warning"),
        ("connections", "warning"),
        ("round_trip", "ok"),
        ("clock", "ok"),
        ("redis_tls", "ok"),
    ]
    assert "allow the user INFO" in report["redis"][1]


def test_a_replica_is_a_fault() -> None:
    with RedisServer() as primary, RedisServer("--replicaof", "127.0.0.1", str(primary.port)) as replica:
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
            status, message = checked(REDIS_URL=replica.url)["redis"]
            assert status == "fault"
            assert "read_only" in message
            assert "primary" in message
            # A replica that accepts writes, which its primary then removes.
            client.config_set("replica-read-only", "no")
        status, message = checked(REDIS_URL=replica.url)["redis"]
        assert status == "fault"
        assert "it is a replica" in message


def test_a_redis_whose_disk_fails_is_a_fault() -> None:
    with RedisServer("--dbfilename", "taken.rdb") as server:
        assert server._directory
        (server._directory / "taken.rdb").mkdir()
        with server.client() as client:
            client.config_set("save", "3600 1")
            client.bgsave()
            wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the save")
        status, message = checked(REDIS_URL=server.url)["redis"]
    assert status == "fault"
    assert message.startswith("read_only: ")
    assert "disk" in message


@pytest.mark.parametrize(
    ("version", "status"),
    [("6.0.16", "fault"), ("5.0", "fault"), ("6.2.0", "ok"), ("7.4.1", "ok"), ("10.0.0", "ok")],
)
def test_a_version_before_6_2_is_a_fault(server: RedisServer, version: str, status: str) -> None:
    lies = {b"server\r\n": text(f"redis_version:{version}")}
    with RedisLiar(server.port, lies) as liar:
        report = checked(REDIS_URL=liar.url)
    assert report.of("redis") == status
    assert version in report["redis"][1]
    assert report.of("eviction") == "ok"


@pytest.mark.parametrize("lines", [(), ("redis_version:\x1b[2Jnone",), ("redis_mode:standalone",)])
def test_a_redis_that_shows_no_version_is_a_warning(server: RedisServer, lines: tuple[str, ...]) -> None:
    with RedisLiar(server.port, {b"server\r\n": text(*lines)}) as liar:
        assert checked(REDIS_URL=liar.url).of("redis") == "warning"


@pytest.mark.parametrize(
    "policy",
    ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-ttl"],
)
def test_a_policy_that_evicts_is_a_fault_and_without_a_limit_a_warning(
    server: RedisServer, policy: str
) -> None:
    with server.client() as client:
        client.config_set("maxmemory-policy", policy)
        assert checked(REDIS_URL=server.url).of("eviction") == "warning"
        client.config_set("maxmemory", "1gb")
    report = checked(REDIS_URL=server.url)
    assert report["eviction"] == (
        "fault",
        f"maxmemory-policy {policy} evicts limits and sessions: set noeviction",
    )
    assert report.exit_code == 1


def test_memory_that_runs_out_is_reported_before_and_after() -> None:
    with RedisServer() as server, server.client() as client:

        def leave(share: float) -> tuple[str, str]:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] / share))
            return checked(REDIS_URL=server.url)["eviction"]

        assert leave(0.5)[0] == "ok"
        status, message = leave(0.9)
        assert (status, "before writes are refused" in message) == ("warning", True)
        status, message = leave(1.2)
        assert (status, "writes are refused; raise it" in message) == ("fault", True)


@pytest.mark.parametrize(
    "lie", [text(), text("used_memory:1"), error("ERR unknown command 'INFO'"), text("maxmemory:nonsense")]
)
def test_memory_that_is_not_reported_is_a_warning(server: RedisServer, lie: object) -> None:
    with RedisLiar(server.port, {b"memory\r\n": lie}) as liar:  # type: ignore[dict-item]  # a reply
        status, message = checked(REDIS_URL=liar.url)["eviction"]
    assert status == "warning"
    assert "look at it yourself" in message


def test_a_redis_with_too_few_connections_for_one_host_is_a_warning_with_both_numbers(
    server: RedisServer,
) -> None:
    workers = {"REDIS_URL": server.url, "WEB_CONCURRENCY": "3"}
    with server.client() as client:
        client.config_set("maxclients", 3 * 34)
        try:
            assert checked(**workers)["connections"] == (
                "ok",
                "maxclients is 102, one host of gateways uses at most 102: enough for 1 of them",
            )
            client.config_set("maxclients", 3 * 34 - 1)
            status, message = checked(**workers)["connections"]
        finally:
            client.config_set("maxclients", 10_000)
    assert status == "warning"
    assert "maxclients is 101, one host of gateways uses at most 102" in message
    assert "raise it" in message
    assert "WEB_CONCURRENCY" in message


@pytest.mark.parametrize("lie", [text("connected_clients:1"), text("maxclients:many")])
def test_a_redis_that_does_not_show_maxclients_is_a_warning(server: RedisServer, lie: object) -> None:
    with RedisLiar(server.port, {b"clients\r\n": lie}) as liar:  # type: ignore[dict-item]  # a reply
        status, message = checked(REDIS_URL=liar.url)["connections"]
    assert status == "warning"
    assert "look at it yourself" in message


def test_a_redis_without_a_free_connection_is_a_fault_that_names_maxclients() -> None:
    with RedisServer("--maxclients", "2") as server, server.client() as one, server.client() as two:
        one.ping(), two.ping()
        report = checked(REDIS_URL=server.url)
    ((_, status, message),) = of_redis(report)
    assert status == "fault"
    assert message.startswith("connections: ")
    assert "maxclients" in message


@pytest.mark.parametrize(("seconds", "status"), [(0.02, "warning"), (0.15, "fault")])
def test_a_redis_far_away_is_told_by_how_far(server: RedisServer, seconds: float, status: str) -> None:
    with RedisProxy(server.port) as proxy:
        proxy.delay(seconds, b"PING")
        found, message = checked(REDIS_URL=proxy.url)["round_trip"]
        pings = proxy.seen(b"PING")
    assert found == status
    assert float(message.split()[0]) >= 1000 * seconds
    assert "nearer" in message
    # A few calls are enough to recognise a far Redis.
    assert (pings < 15) == (status == "fault")


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (0.3, "ok", "agree"),
        (2.5, "warning", "2.5 s ahead of"),
        (-2.5, "warning", "2.5 s behind"),
        (60, "fault", "60.0 s ahead of"),
        (-60, "fault", "60.0 s behind"),
    ],
)
def test_clocks_that_differ_are_reported(server: RedisServer, ahead: float, status: str, words: str) -> None:
    with RedisLiar(server.port, {b"TIME\r\n": clock(ahead)}) as liar:
        found, message = checked(REDIS_URL=liar.url)["clock"]
    assert found == status
    assert words in message
    assert ("NTP" in message) == (status != "ok")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("redis://127.0.0.1:6379/0", "ok"),
        ("redis://localhost", "ok"),
        ("redis://[::1]:6379", "ok"),
        ("unix:///run/redis.sock", "ok"),
        ("redis+cluster://127.0.0.1:1,127.0.0.2:2", "ok"),
        ("rediss://10.0.0.1:6379/0", "ok"),
        ("rediss://10.0.0.1:6379/0?ssl_cert_reqs=required", "ok"),
        ("redis+sentinel://10.0.0.1:1,10.0.0.2:2/name?ssl=true", "ok"),
        ("redis+sentinel://10.0.0.1:1/name?ssl=True&db=2", "ok"),
        ("redis+cluster://10.0.0.1:1?ssl=yes", "ok"),
        ("redis://10.0.0.1:6379/0", "warning"),
        ("redis://u:p@redis.example.com", "warning"),
        ("redis://[2001:db8::1]:6379", "warning"),
        ("redis+cluster://127.0.0.1:1,10.0.0.2:2", "warning"),
        ("redis+sentinel://10.0.0.1:1/name?ssl=false", "warning"),
        ("redis+cluster://10.0.0.1:1?ssl=0", "warning"),
        ("rediss://10.0.0.1?ssl_check_hostname=false", "warning"),
        ("rediss://10.0.0.1?ssl_cert_reqs=none", "fault"),
        ("rediss://10.0.0.1?ssl_check_hostname=false&ssl_cert_reqs=none", "fault"),
    ],
)
def test_a_way_to_redis_that_others_can_read_is_reported(url: str, status: str) -> None:
    taken = make_settings(REDIS_URL=url).redis_url
    finding = redis_tls.look(taken or "")
    assert finding.status == status
    assert "u:p" not in finding.message


def test_over_tls_with_a_checked_certificate_all_is_well(server: RedisServer, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with RedisLiar(server.port, {}, tls=serving(certificate)) as tls:
        url = f"rediss://localhost:{tls.port}/0"
        trusting = checked(REDIS_URL=f"{url}?ssl_ca_certs={certificate}")
        wary = checked(REDIS_URL=url)
    assert [status for _, status, _ in of_redis(trusting)] == ["ok"] * 6
    assert "TLS" in trusting["redis_tls"][1]
    assert wary["redis"][0] == "fault"


def test_a_unix_socket_is_fine(tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(socket)):
        report = checked(REDIS_URL=f"unix://{socket}")
    assert [status for _, status, _ in of_redis(report)] == ["ok"] * 6


def test_a_primary_behind_a_sentinel_is_fine(server: RedisServer) -> None:
    with start_sentinel(server.port, "gateway") as port:
        report = checked(REDIS_URL=f"redis+sentinel://127.0.0.1:{port}/gateway")
        wrong = checked(REDIS_URL=f"redis+sentinel://127.0.0.1:{port}/another")
    assert [status for _, status, _ in of_redis(report)] == ["ok"] * 6
    assert wrong["redis"][0] == "fault"


def test_a_cluster_is_looked_at_node_by_node() -> None:
    with start_cluster() as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        variables = {"REDIS_URL": f"redis+cluster://{hosts}"}
        report = checked(**variables)
        assert [status for _, status, _ in of_redis(report)] == ["ok"] * 6
        assert "3 primaries" in report["redis"][1]
        with nodes[2].client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("maxmemory", "1gb")
        assert checked(**variables).of("eviction") == "fault"
        for node in nodes[1:]:
            node.kill()
        began = time.monotonic()
        ((_, status, _),) = of_redis(checked(**variables))
        assert status == "fault"
        # Not a measurement: no check may block here.
        assert time.monotonic() - began < 30


def test_nodes_of_a_cluster_that_are_apart_are_a_fault() -> None:
    class Node(redis_checks._Node):
        def __init__(self, ahead: float) -> None:
            self._by = ahead

        def clock(self) -> float:
            return time.time() + self._by

    assert redis_checks._clock([Node(0), Node(0.3)]).status == "ok"
    finding = redis_checks._clock([Node(0.4), Node(0), Node(-0.4)])
    assert finding.status == "fault"
    assert "0.8 s apart" in finding.message


def test_every_label_of_a_redis_error_comes_with_advice() -> None:
    labels = {label for _, label in (*error_labels.KINDS, *error_labels.MARKS)} | {
        error_labels.reason(ResponseError("ERR x"))
    }
    for label in labels:
        assert ": " in redis_checks.explain(StoreUnavailable(label))
    assert labels - {"busy", "refused"} <= set(redis_checks.REMEDY)
