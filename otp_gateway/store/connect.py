"""From ``REDIS_URL`` to a client: embedded, single, sentinel, cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from otp_gateway.store.client import RedisClient
from otp_gateway.store.tls import RedisTls

# Seconds that one attempt waits for a connection, and for the reply. store/scripts.py repeats attempts
# within a deadline of its own, so the client itself retries nothing.
CONNECT_TIMEOUT = 0.3
REPLY_TIMEOUT = 0.5
# Seconds after a failed question for a cluster's topology in which nobody asks again.
CLUSTER_PAUSE = 1.0
DEFAULT_PORT = 6379
FULL = RedisTls()
DEFAULT_SENTINEL_PORT = 26379


def connect(url: str | None, tls: RedisTls = FULL) -> RedisClient:
    """A client for the URL, without connecting yet; ``None`` is an embedded store of its own.

    Schemes: ``redis``, ``rediss``, ``unix``, ``redis+sentinel://h1:p,h2:p/name`` and
    ``redis+cluster://h1:p,h2:p``. The last two take ``user:password@`` for the data nodes, ``?ssl=true`` with
    ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile``, and for sentinel ``?db=``,
    ``?sentinel_username=`` and ``?sentinel_password=``. Options of the URL override ``tls``.
    """
    if url is None:
        # A production process never loads the emulation and its Lua.
        import fakeredis  # noqa: PLC0415

        return cast("RedisClient", fakeredis.FakeRedis(server=fakeredis.FakeServer()))
    if url.startswith("redis+sentinel://"):
        return _sentinel(url, tls)
    if url.startswith("redis+cluster://"):
        return cast("RedisClient", _Cluster(lambda: _cluster(url, tls)))
    options = tls.options() if url.startswith("rediss://") else {}
    return cast("RedisClient", redis.Redis.from_url(url, **_common() | options))


def _common() -> dict[str, Any]:
    return {
        "socket_timeout": REPLY_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": 10_000,
        # RESP 2 and no library name: a new connection costs no greeting round trip.
        "protocol": 2,
        "driver_info": None,
    }


def _sentinel(url: str, redis_tls: RedisTls) -> RedisClient:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    tls = redis_tls.of_several(query)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has left it untyped
        _hosts(parts.netloc, DEFAULT_SENTINEL_PORT),
        sentinel_kwargs=_common()
        | tls
        | {
            name: query[f"sentinel_{name}"]
            for name in ("username", "password")
            if f"sentinel_{name}" in query
        },
        db=int(query.get("db", "0")),
        **_common() | tls | _credentials(parts.netloc),
    )
    client: redis.Redis = sentinel.master_for(unquote(parts.path.strip("/")))  # type: ignore[no-untyped-call]  # as above
    return client


def _cluster(url: str, redis_tls: RedisTls) -> RedisClient:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return RedisCluster(
        startup_nodes=[
            ClusterNode(host, port)  # type: ignore[no-untyped-call]  # as above
            for host, port in _hosts(parts.netloc, DEFAULT_PORT)
        ],
        **_common() | redis_tls.of_several(query) | _credentials(parts.netloc),
    )


def _hosts(netloc: str, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for host in netloc.rpartition("@")[2].split(","):
        parts = urlsplit(f"//{host}")
        hosts.append((parts.hostname or "localhost", parts.port or default_port))
    return hosts


def _credentials(netloc: str) -> dict[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    given = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in given.items() if value}


class _Cluster:
    """A cluster's client that connects at the first call, and asks for the topology one thread at a time.

    Redis may be away at the start, and a gateway must start all the same. And redis-py asks for the topology
    after every failure, each thread in turn: with all nodes stalled, the last of them would wait for minutes.
    So who comes within a second of a failed question is told at once.
    """

    def __init__(self, make: Callable[[], RedisClient]) -> None:
        self._make = make
        self._lock = Lock()
        self._failed_at = -math.inf
        self._client: RedisClient | None = None

    def __getattr__(self, name: str) -> Any:
        if self._client is None:
            self._guarded(self._connect)
        return getattr(self._client, name)

    def _connect(self) -> None:
        if self._client is None:
            client: Any = self._make()
            ask = client.nodes_manager.initialize
            client.nodes_manager.initialize = lambda *args, **kwargs: self._guarded(
                lambda: ask(*args, **kwargs)
            )
            self._client = client

    def _guarded(self, ask: Callable[[], Any]) -> Any:
        with self._lock:
            if time.monotonic() - self._failed_at < CLUSTER_PAUSE:
                raise redis.ConnectionError("the cluster did not answer a moment ago")
            try:
                return ask()
            except Exception:
                self._failed_at = time.monotonic()
                raise
