"""Connections to Redis: how many are open, when they are closed, and what happens if Redis allows no more."""

from __future__ import annotations

import os
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from otp_gateway.errors import StoreUnavailable
from otp_gateway.store import connect
from otp_gateway.store.pool import BACKGROUND_THREADS, Pool
from tests.store.bench import Bench
from tests.support.certificates import make_certificate, serving
from tests.support.redis_liar import RedisLiar
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel, wait_until

THREADS = 8
KINDS = ["redis", "unix", "rediss", "redis+sentinel", "redis+cluster"]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def observer(server: RedisServer) -> Iterator[redis.Redis]:
    """A client with one connection, which stays open."""
    with server.client(single_connection_client=True) as client:
        yield client


def others(observer: redis.Redis) -> int:
    """The number of connections, without the observer's own."""
    return len(observer.client_list(_type="normal")) - 1


def opened(observer: redis.Redis) -> int:
    return int(observer.info("stats")["total_connections_received"])


def called(bench: Bench) -> bool:
    """One call of a script, from a new address."""
    return bench.admit(secrets.token_hex(8)).admitted


def at_once(bench: Bench, threads: int, calls: int = 5) -> None:
    """Calls from so many threads, which all begin at the same time."""
    begin = threading.Barrier(threads)

    def run() -> None:
        begin.wait()
        for _ in range(calls):
            assert called(bench)

    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(run) for _ in range(threads)]:
            job.result()


def pool_of(bench: Bench) -> Pool:
    pool = bench.redis.connection_pool
    assert isinstance(pool, Pool)
    return pool


@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_no_thread_uses_are_closed_without_further_calls(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers, url = _site(kind, stack, tmp_path)
        observers = [stack.enter_context(each.client(single_connection_client=True)) for each in servers]
        before = [len(_clients(observer)) for observer in observers]
        at_once(Bench(connect(url, threads=THREADS)), THREADS)
        wait_until(
            lambda: [len(_clients(observer)) for observer in observers] <= before, "the connections to close"
        )
        # The connections are opened again.
        at_once(Bench(connect(url, threads=THREADS)), THREADS)


def _clients(observer: redis.Redis) -> list[dict[str, str]]:
    # Without those of a sentinel, which have names.
    return [client for client in observer.client_list(_type="normal") if "sentinel-" not in client["name"]]


def _site(kind: str, stack: ExitStack, folder: Path) -> tuple[list[RedisServer], str]:
    """The servers of this kind, and the URL to them."""
    if kind == "redis+cluster":
        nodes = stack.enter_context(start_cluster(3))
        return nodes, "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    socket = folder / "redis.sock"
    server = stack.enter_context(RedisServer("--unixsocket", str(socket)))
    if kind == "redis+sentinel":
        port = stack.enter_context(start_sentinel(server.port, "main"))
        sentinel = RedisServer()
        sentinel.port = port
        return [server, sentinel], f"redis+sentinel://127.0.0.1:{port}/main"
    if kind == "rediss":
        certificate = make_certificate(folder)
        liar = stack.enter_context(RedisLiar(server.port, {}, tls=serving(certificate)))
        return [server], f"rediss://localhost:{liar.port}/0?ssl_ca_certs={certificate}"
    return [server], f"unix://{socket}" if kind == "unix" else server.url


def test_calls_one_after_the_other_share_one_connection(server: RedisServer, observer: redis.Redis) -> None:
    bench = Bench(connect(server.url, threads=THREADS))
    before = opened(observer)
    for _ in range(50):
        bench.admit()
    assert opened(observer) - before == 1


@pytest.mark.parametrize("threads", [THREADS, 5 * THREADS])
def test_there_are_never_more_connections_than_threads_and_every_call_succeeds(
    server: RedisServer, observer: redis.Redis, threads: int
) -> None:
    """The second case has more threads than the pool has connections, so threads share them."""
    bench = Bench(connect(server.url, threads=THREADS))
    done = threading.Event()
    counts = []

    def count() -> None:
        while not done.is_set():
            counts.append(others(observer))

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        at_once(bench, threads, calls=20)
        done.set()
        counting.result()
    # Redis lists a closed connection until it has noticed the close.
    assert 1 <= max(counts) <= THREADS + BACKGROUND_THREADS
    assert opened(observer) - 2 <= 2 * (THREADS + BACKGROUND_THREADS)


def test_threads_share_the_connections_that_a_full_redis_allows(
    server: RedisServer, observer: redis.Redis
) -> None:
    observer.config_set("maxclients", 3)
    bench = Bench(connect(server.url, threads=32))
    # One connection is open before, as in a worker that has served requests.
    bench.admit()
    at_once(bench, 32)


def test_a_burst_of_one_process_leaves_the_next_process_a_connection(
    server: RedisServer, observer: redis.Redis
) -> None:
    observer.config_set("maxclients", 9)
    first, second = (Bench(connect(server.url, threads=32)) for _ in range(2))
    for bench in (first, second) * 3:
        at_once(bench, 8)
        # There is no pause: a refused call repeats its attempts until the other process has closed
        # connections.
        assert called(second if bench is first else first)


def test_a_refusal_by_a_full_redis_is_called_connections_every_time(
    server: RedisServer, observer: redis.Redis
) -> None:
    observer.config_set("maxclients", 1)
    bench = Bench(connect(server.url, threads=THREADS))
    for call in (bench.admit, bench.scripts.ping) * 5:
        with pytest.raises(StoreUnavailable) as refused:
            call()
        assert refused.value.reason == "connections"
    observer.config_set("maxclients", 100)
    assert called(bench)


def test_a_pool_works_after_a_fork_in_both_processes(server: RedisServer, observer: redis.Redis) -> None:
    bench = Bench(connect(server.url, threads=THREADS))
    bench.admit()
    number = bench.redis.client_id()
    held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        # The thread that closes connections may hold the lock at the moment of the fork.
        with pool_of(bench)._lock:
            held.set()
            may_go.wait(10)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        held.wait(10)
        child = _fork(lambda: bench.redis.client_id() != number and called(bench))
        may_go.set()
        holding.result()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # The child has closed none of the parent's connections.
    assert called(bench)
    wait_until(lambda: others(observer) == 0, "the connections of both")


def _fork(succeeds: Callable[[], bool]) -> int:
    """A child process that exits with 0 if the call succeeds within 10 s."""
    child = os.fork()
    if child:
        return child
    # The child must not run pytest's own shutdown.
    threading.Timer(10, os._exit, (2,)).start()
    status = 1
    try:
        status = 0 if succeeds() else 1
    finally:
        os._exit(status)


def test_without_a_new_thread_connections_are_closed_at_once(
    server: RedisServer, observer: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopping cannot start a thread, but it still writes the usage."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    bench = Bench(connect(server.url, threads=THREADS))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(2):
            assert called(bench)
            assert not pool_of(bench)._has_unused()
    assert called(bench)
    wait_until(lambda: others(observer) == 0, "the connections to close")


class TestTls:
    @pytest.fixture
    def contexts(self, monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
        """The TLS contexts made for clients."""
        made: list[ssl.SSLContext] = []
        make = ssl.create_default_context

        def counted(*args: Any, **options: Any) -> ssl.SSLContext:
            made.append(make(*args, **options))
            return made[-1]

        monkeypatch.setattr(ssl, "create_default_context", counted)
        return made

    def test_many_connections_share_one_context(
        self, server: RedisServer, tmp_path: Path, contexts: list[ssl.SSLContext]
    ) -> None:
        """redis-py would make one for each, and 32 threads at once would miss their timeouts."""
        certificate = make_certificate(tmp_path)
        with RedisLiar(server.port, {}, tls=serving(certificate)) as tls:
            bench = Bench(
                connect(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={certificate}", threads=THREADS)
            )
            at_once(bench, THREADS)
            assert len(contexts) == 1

    def test_renewed_certificates_are_read_without_a_restart(
        self, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old, new = (make_certificate(_made(tmp_path / name)) for name in ("old", "new"))
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(old.read_bytes())
        with RedisLiar(server.port, {}, tls=serving(new)) as tls:
            bench = Bench(connect(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={trusted}", threads=THREADS))
            with pytest.raises(StoreUnavailable):
                bench.admit()
            trusted.write_bytes(new.read_bytes())
            assert called(bench)
            # After a while, new connections use the new file.
            trusted.write_bytes(old.read_bytes())
            monkeypatch.setattr("otp_gateway.store.tls_connection.RENEW_SECONDS", 0.0)
            pool_of(bench).disconnect()
            with pytest.raises(StoreUnavailable):
                bench.admit()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
