"""Metrics of Redis: times, and the reasons for no answer; in the scrape and in the log."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from otp_gateway.store import connect
from otp_gateway.store.write_probe import FRESH_SECONDS
from tests.api.support import PHONE, SEND, VERIFY, Api, Recorder, assert_problem, make_api
from tests.metrics.support import Scrape, gained, labels, scrape
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, start_cluster, wait_until
from tests.support.servers import free_port


def api_on(url: str) -> Api:
    return make_api(connect(url))


def reasons(before: Scrape, after: Scrape) -> set[str]:
    return {dict(has)["reason"] for has in gained(before, after, "redis_errors_total")}


def refused(api: Api, capsys: pytest.CaptureFixture[str]) -> str:
    """The only reason why a send and a verify got 503: in the scrape and in the log."""
    capsys.readouterr()
    before = scrape(api)
    for path, body in ((SEND, {"phone_number": PHONE}), (VERIFY, {"phone_number": PHONE, "code": "000000"})):
        assert_problem(api.post(path, body), 503, "store_unavailable")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    noted = {line["reason"] for line in lines if line.get("status") == 503}
    counted = reasons(before, scrape(api))
    assert counted == noted
    [reason] = noted
    return str(reason)


def test_every_script_that_ran_is_timed_once() -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    before = scrape(api)
    api.send()
    api.verify(PHONE, sender.code_for(PHONE))
    calls = gained(before, scrape(api), "redis_call_duration_seconds_count")
    assert calls == {labels(script="admit"): 2, labels(script="issue"): 1, labels(script="verify"): 1}


def test_a_slow_redis_shows_in_the_times(redis_server: RedisServer) -> None:
    with RedisProxy(redis_server.port) as proxy:
        api = api_on(proxy.url)
        before = scrape(api)
        api.send("x")
        proxy.delay(0.12)
        api.send("x")
        after = scrape(api)
        buckets = gained(before, after, "redis_call_duration_seconds_bucket")
        assert buckets[labels(script="admit", le="0.1")] == 1
        assert buckets[labels(script="admit", le="+Inf")] == 2


def test_a_lost_reply_is_an_error_though_the_request_is_answered(redis_server: RedisServer) -> None:
    with RedisProxy(redis_server.port) as proxy:
        api = api_on(proxy.url)
        before = scrape(api)
        proxy.drop_replies(2)
        assert api.send().status_code == 200
        after = scrape(api)
        assert gained(before, after, "redis_errors_total") == {labels(reason="unreachable"): 2}
        # Repeats belong to the call.
        assert gained(before, after, "redis_call_duration_seconds_count")[labels(script="admit")] == 1


def test_a_redis_that_was_never_there_is_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(api_on(f"redis://127.0.0.1:{free_port()}/0"), capsys) == "unreachable"


def test_a_killed_redis_is_unreachable_and_well_again_after(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server:
        api = api_on(server.url)
        assert scrape(api).value("redis_up") == 1
        server.kill()
        assert refused(api, capsys) == "unreachable"
        time.sleep(FRESH_SECONDS)
        assert scrape(api).value("redis_up") == 0
        server.start()
        assert api.send().status_code == 200
        time.sleep(FRESH_SECONDS)
        assert scrape(api).value("redis_up") == 1


def test_a_stalled_redis_is_a_timeout_and_holds_no_scrape_up(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server:
        api = api_on(server.url)
        server.pause()
        assert refused(api, capsys) == "timeout"
        began = time.monotonic()
        now = scrape(api)
        # A scraper waits ten seconds.
        assert time.monotonic() - began < 5
        assert now.value("redis_up") == 0
        assert now.has("build_info")
        assert not now.has("sms_credit_rials")


def test_a_full_redis_is_out_of_memory(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server, server.client() as client:
        api = api_on(server.url)
        client.config_set("maxmemory", "1")
        assert refused(api, capsys) == "out_of_memory"
        # It answers, but no login works.
        assert scrape(api).value("redis_up") == 0


def test_a_wrong_password_and_none_are_authentication(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server, server.client() as client:
        client.config_set("requirepass", "the-password")
        for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
            assert refused(api_on(url), capsys) == "authentication"
        right = api_on(server.url.replace("redis://", "redis://:the-password@"))
        assert right.send().status_code == 200


def test_a_user_without_the_rights_is_permission(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server, server.client() as client:
        client.execute_command("ACL SETUSER weak on >weak ~* +@all -@scripting")
        assert refused(api_on(server.url.replace("redis://", "redis://weak:weak@")), capsys) == "permission"


def test_rights_that_lack_inside_a_script_are_permission_too(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server, server.client() as client:
        client.execute_command("ACL SETUSER weak on >weak ~other:* +@all")
        assert refused(api_on(server.url.replace("redis://", "redis://weak:weak@")), capsys) == "permission"


def test_a_replica_is_read_only(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as master, RedisServer("--replicaof", "127.0.0.1", str(master.port)) as replica:
        assert refused(api_on(replica.url), capsys) == "read_only"


def test_a_redis_that_cannot_save_is_read_only(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer() as server, server.client() as client:
        api = api_on(server.url)
        client.config_set("save", "3600 1")
        # Its directory is deleted.
        shutil.rmtree(client.config_get("dir")["dir"])
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "a failed save")
        assert refused(api, capsys) == "read_only"


def test_a_redis_without_a_place_left_is_connections() -> None:
    with RedisServer() as server, server.client() as client:
        api = api_on(server.url)
        api.redis.connection_pool.disconnect()
        client.config_set("maxclients", "1")
        before = scrape(api)
        assert_problem(api.send(), 503, "store_unavailable")
        # Some of its refusals come too late to be read.
        assert {"connections"} <= reasons(before, scrape(api)) <= {"connections", "unreachable"}


@contextmanager
def endless_script(server: RedisServer) -> Iterator[None]:
    """Another client's script that does not end."""

    def run() -> None:
        with server.client(socket_timeout=60) as client, pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    with server.client() as client:
        try:
            while True:
                try:
                    client.ping()
                except redis.ResponseError:
                    break
            yield
        finally:
            client.script_kill()
            thread.join()


def test_a_redis_that_runs_another_script_is_busy(capsys: pytest.CaptureFixture[str]) -> None:
    with RedisServer("--lua-time-limit", "50") as server:
        api = api_on(server.url)
        with endless_script(server):
            assert refused(api, capsys) == "busy"


# --- memory


def test_the_memory_of_redis_and_its_limit_are_read_at_each_scrape() -> None:
    with RedisServer() as server, server.client() as client:
        api = api_on(server.url)
        now = scrape(api)
        before = now.value("redis_memory_used_bytes")
        assert before > 0
        assert now.has("redis_memory_max_bytes")
        assert now.value("redis_memory_max_bytes") == 0
        client.set("large", "x" * 5_000_000, ex=60)
        client.config_set("maxmemory", "100mb")
        now = scrape(api)
        assert now.value("redis_memory_used_bytes") - before >= 5_000_000
        assert now.value("redis_memory_max_bytes") == 100 * 2**20


def test_the_memory_of_a_cluster_is_that_of_the_primary_nearest_to_its_limit() -> None:
    with start_cluster() as nodes:
        api = api_on("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes))
        clients = [node.client() for node in nodes]
        # The largest primary is not the fullest.
        for client, limit in zip(clients, ("100mb", "1gb", "2gb"), strict=True):
            client.config_set("maxmemory", limit)
        for client in clients[1:]:
            client.set(next(n for n in map(str, range(200)) if is_at(client, n)), "x" * 5_000_000, ex=60)
        now = scrape(api)
        assert now.value("redis_memory_max_bytes") == 100 * 2**20
        for client in clients:
            client.config_set("maxmemory", "0")
        now = scrape(api)
        assert now.value("redis_memory_max_bytes") == 0
        assert now.value("redis_memory_used_bytes") > 5_000_000
        for client in clients:
            client.close()


def is_at(client: redis.Redis, name: str) -> bool:
    """Whether this node of a cluster has the slot of a key."""
    try:
        client.exists(name)
    except redis.ResponseError:
        return False
    return True


def test_a_user_that_may_not_call_info_leaves_the_memory_out() -> None:
    with RedisServer() as server, server.client() as client:
        client.execute_command("ACL SETUSER narrow on >narrow ~* +@all -info")
        now = scrape(api_on(server.url.replace("redis://", "redis://narrow:narrow@")))
        assert now.value("redis_up") == 1
        assert not now.has("redis_memory_used_bytes")
        assert not now.has("redis_memory_max_bytes")


def test_without_redis_and_with_the_embedded_store_there_is_no_memory_to_show() -> None:
    for api in (make_api(), api_on(f"redis://127.0.0.1:{free_port()}/0")):
        now = scrape(api)
        assert now.has("redis_up")
        assert not now.has("redis_memory_used_bytes")
