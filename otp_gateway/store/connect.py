"""Makes a client for ``REDIS_URL``: for the embedded store, one server, sentinel or a cluster."""

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
from redis.sentinel import Sentinel, SentinelManagedConnection

from otp_gateway.store.client import RedisClient
from otp_gateway.store.plain_redis import PlainRedis
from otp_gateway.store.pool import Pool, SentinelPool, greet, most_connections
from otp_gateway.store.tls import RedisTls
from otp_gateway.store.tls_connection import SentinelTlsConnection

# Seconds that one attempt waits for a connection, and for the reply. store/scripts.py repeats attempts until
# its own deadline. So the client itself repeats no command.
CONNECT_TIMEOUT = 0.3
REPLY_TIMEOUT = 0.5
# After a failed query for a cluster's topology, no thread repeats the query for so many seconds.
CLUSTER_PAUSE = 1.0
DEFAULT_PORT = 6379
FULL = RedisTls()
DEFAULT_SENTINEL_PORT = 26379
# The most connections of a process for which ``threads`` is not given.
UNBOUNDED = 10_000


def connect(url: str | None, tls: RedisTls = FULL, threads: int | None = None) -> RedisClient:
    """Make a client for the URL. It does not connect yet. ``None``: the client has its own embedded store.

    Schemes: ``redis``, ``rediss``, ``unix``, ``redis+sentinel://h1:p,h2:p/name`` and
    ``redis+cluster://h1:p,h2:p``. URLs of sentinel and cluster can have ``user:password@`` for the data
    nodes, and ``?ssl=true`` with ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile``. URLs of sentinel can
    also have ``?db=``, ``?sentinel_username=`` and ``?sentinel_password=``. Options of the URL override
    ``tls``. ``threads``: the number of threads of this process that answer requests. It bounds the number of
    connections to a server.
    """
    if url is None:
        # It is imported here, so that a production process never loads the emulation and its Lua interpreter.
        import fakeredis  # noqa: PLC0415

        return cast("RedisClient", fakeredis.FakeRedis(server=fakeredis.FakeServer()))
    options = _common(UNBOUNDED if threads is None else most_connections(threads))
    if url.startswith("redis+sentinel://"):
        return _sentinel(url, tls, options)
    if url.startswith("redis+cluster://"):
        return cast("RedisClient", _Cluster(lambda: _cluster(url, tls, options)))
    if url.startswith("rediss://"):
        options |= tls.options()
    return cast("RedisClient", PlainRedis.from_pool(Pool.from_url(url, **options)))


def _common(connections: int) -> dict[str, Any]:
    return {
        "socket_timeout": REPLY_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": connections,
        "redis_connect_func": greet,
        # RESP 2 and no library name: a new connection costs no greeting round trip.
        "protocol": 2,
        "driver_info": None,
    }


def _sentinel(url: str, redis_tls: RedisTls, options: dict[str, Any]) -> RedisClient:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    tls = redis_tls.of_several(query)
    login = {
        name: query[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in query
    }
    sentinel = Sentinel((), db=int(query.get("db", "0")), **options | tls | _credentials(parts.netloc))  # type: ignore[no-untyped-call]  # redis-py has left it untyped
    # Clients that redis-py makes for the sentinels would keep their connections.
    sentinel.sentinels = [
        redis.Redis.from_pool(Pool(host=host, port=port, **options | tls | login))
        for host, port in _hosts(parts.netloc, DEFAULT_SENTINEL_PORT)
    ]
    client: PlainRedis = sentinel.master_for(  # type: ignore[no-untyped-call]  # as above
        unquote(parts.path.strip("/")),
        redis_class=PlainRedis,
        connection_pool_class=SentinelPool,
        connection_class=SentinelTlsConnection if tls else SentinelManagedConnection,
    )
    return client


def _cluster(url: str, redis_tls: RedisTls, options: dict[str, Any]) -> RedisClient:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    (host, port), *others = _hosts(parts.netloc, DEFAULT_PORT)
    return RedisCluster(
        # redis-py takes a class for the pools only with the URL of a node.
        url=f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}",
        startup_nodes=[
            ClusterNode(*node)  # type: ignore[no-untyped-call]  # as above
            for node in others
        ],
        connection_pool_class=Pool,
        **options | redis_tls.of_several(query) | _credentials(parts.netloc),
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
    """The client of a cluster. It connects at the first call. One thread at a time queries the topology.

    A gateway must start even if Redis is unavailable, so the client does not connect earlier. After each
    failure, redis-py queries the topology, one thread after another. If no node answers, the last thread
    would wait for minutes. So within a second after a failed query, every other query fails at once.
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

    def get_primaries(self) -> list[Any]:
        """The primaries. It is a method, so that ``servers.is_cluster`` needs no connection."""
        primaries: list[Any] = self.__getattr__("get_primaries")()
        return primaries

    def _connect(self) -> None:
        if self._client is None:
            client: Any = self._make()
            query = client.nodes_manager.initialize
            client.nodes_manager.initialize = lambda *args, **kwargs: self._guarded(
                lambda: query(*args, **kwargs)
            )
            self._client = client

    def _guarded(self, query: Callable[[], Any]) -> Any:
        with self._lock:
            if time.monotonic() - self._failed_at < CLUSTER_PAUSE:
                raise redis.ConnectionError("the cluster did not answer a moment ago")
            try:
                return query()
            except Exception:
                self._failed_at = time.monotonic()
                raise
