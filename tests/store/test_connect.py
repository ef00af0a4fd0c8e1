"""Every kind of URL gives a working store, and one that works again after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from otp_gateway.errors import InvalidCode, StoreUnavailable, TooManyOtpRequests
from otp_gateway.model import Caller, PhoneNumber
from otp_gateway.store import connect
from tests.store.bench import Bench
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel, wait_until

PASSWORD = "p@ss:word/?#"
ESCAPED = "p%40ss%3Aword%2F%3F%23"


def assert_works(url: str | None, national: int = 9123456789) -> None:
    """A whole login of one phone through a new client for the URL."""
    phone = PhoneNumber(f"+98{national}")
    bench = Bench(connect(url))
    bench.scripts.ping()
    bench.load()
    admission = bench.admit("site", f"net-{national}")
    assert admission.admitted
    caller = Caller("home", admission.clock)
    first, second, third = (bench.issue(caller, phone=phone) for _ in range(3))
    assert first.nonce == second.nonce == third.nonce
    with pytest.raises(TooManyOtpRequests):
        bench.issue(caller, phone=phone)
    bench.withdraw(third, caller, phone=phone)
    wrong = "000000" if bench.code(first, phone=phone) != "000000" else "000001"
    with pytest.raises(InvalidCode):
        bench.verify(wrong, caller, phone=phone)
    bench.verify(first, caller, phone=phone)
    with pytest.raises(InvalidCode):
        bench.verify(first, caller, phone=phone)


def assert_unavailable(request: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        request()
    assert time.monotonic() - start < 3


def test_the_embedded_store_works_and_each_is_its_own() -> None:
    assert_works(None)
    assert_works(None)


def test_a_tcp_url_works(redis_server: RedisServer) -> None:
    redis_server.clear()
    assert_works(redis_server.url)


def test_a_unix_url_works(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(path)):
        assert_works(f"unix://{path}?db=3")


def test_a_password_in_the_url_works_and_without_it_the_store_is_unavailable() -> None:
    with RedisServer() as server:
        with server.client() as client:
            client.config_set("requirepass", PASSWORD)
        assert_works(f"redis://:{ESCAPED}@127.0.0.1:{server.port}/0")
        assert_unavailable(Bench(connect(server.url)).admit)


def test_a_sentinel_url_works_past_a_sentinel_that_is_unavailable() -> None:
    with RedisServer() as master, start_sentinel(master.port, "main") as port:
        assert_works(f"redis+sentinel://127.0.0.1:{port}/main")
        master.clear()
        assert_works(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/main?db=2")
        assert_unavailable(Bench(connect(f"redis+sentinel://127.0.0.1:{port}/another")).admit)


def test_a_sentinel_that_cannot_be_reached_is_unavailable_in_time() -> None:
    assert_unavailable(Bench(connect("redis+sentinel://127.0.0.1:1/main")).admit)


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with start_cluster(3) as nodes:
        yield nodes


def url_of(nodes: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def test_a_cluster_url_works_for_phones_on_every_node(cluster: list[RedisServer]) -> None:
    for last in range(12):
        assert_works(url_of(cluster), 9121000000 + last)
    for node in cluster:
        with node.client() as client:
            assert client.dbsize()
    # One node that answers is enough to find the others.
    assert_works("redis+cluster://127.0.0.1:1," + url_of(cluster[2:]).partition("://")[2], 9122000000)


def test_a_cluster_with_a_password_works(cluster: list[RedisServer]) -> None:
    with ExitStack() as stack:
        for node in cluster:
            with node.client() as client:
                client.config_set("masterauth", PASSWORD)
                client.config_set("requirepass", PASSWORD)
            admin = stack.enter_context(node.client(password=PASSWORD))
            stack.callback(admin.config_set, "requirepass", "")
        assert_works(f"redis+cluster://:{ESCAPED}@" + url_of(cluster).partition("://")[2], 9123000000)


def test_a_cluster_that_is_paused_is_unavailable_in_time_and_comes_back(cluster: list[RedisServer]) -> None:
    known, new = Bench(connect(url_of(cluster))), Bench(connect(url_of(cluster)))
    known.admit()
    for node in cluster:
        node.pause()
    try:
        for bench in (known, new):
            # Many calls at once: none may wait until the others have read the topology.
            with ThreadPoolExecutor(12) as pool:
                for job in [pool.submit(assert_unavailable, bench.admit) for _ in range(12)]:
                    job.result()
    finally:
        for node in cluster:
            node.resume()
    for bench in (known, new):
        wait_until(lambda bench=bench: _admits(bench), "the cluster")  # type: ignore[misc]


def test_a_cluster_client_made_while_all_nodes_are_down_recovers() -> None:
    node = RedisServer("--cluster-enabled", "yes")
    bench = Bench(connect(url_of([node])))
    assert_unavailable(bench.admit)
    with node:
        with node.client() as client:
            for slots in range(0, 16_384, 1024):
                client.execute_command("CLUSTER ADDSLOTS", *range(slots, slots + 1024))
        wait_until(lambda: _admits(bench), "the client")
        bench.scripts.ping()
        bench.load()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_a_store_that_is_down_says_so_to_pings_and_loads(scheme: str) -> None:
    bench = Bench(connect(f"{scheme}://127.0.0.1:1" + "/main" * (scheme == "redis+sentinel")))
    assert_unavailable(bench.scripts.ping)
    assert_unavailable(bench.load)


def _admits(bench: Bench) -> bool:
    try:
        return bench.admit("down").admitted
    except StoreUnavailable:
        return False
