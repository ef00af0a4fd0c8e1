"""Redis: role, version, scripts, eviction, connections, round trip, clock and TLS."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from otp_gateway.checks import redis_tls
from otp_gateway.checks.finding import Finding, fault, ok, quote, warning
from otp_gateway.errors import StoreUnavailable
from otp_gateway.settings import Settings
from otp_gateway.store import keys, servers
from otp_gateway.store.client import RedisClient
from otp_gateway.store.pool import most_connections
from otp_gateway.store.scripts import Scripts, available

OLDEST = (6, 2)
PINGS = 20
# Seconds for all pings together. A few pings are enough to show that the network to Redis is slow.
PING_SECONDS = 1.0
# Above this used share of maxmemory, too little memory is left for a busy day.
NEARLY_FULL = 0.8
# A write that changes no data. A replica, a full disk or a strict ACL refuses it like any other write.
TRY = "return redis.call('DEL', KEYS[1])"
# Milliseconds of a round trip. A request makes two round trips. Each call has a timeout of some hundred ms.
FAR, TOO_FAR = 10.0, 100.0
# The difference between the clocks of Redis and of this machine, in s. Tokens have the time of Redis, and
# backends check them with their own clocks.
DRIFT, TOO_MUCH_DRIFT = 1.0, 5.0
# The difference between the clocks of a cluster's nodes, in s. A request makes a deadline by the clock of one
# node, and another node checks it.
NODE_DRIFT = 0.5
# The rights that a Redis user for the gateway needs. INFO and TIME are after the rule that removes INFO.
RIGHTS = (
    *(f"~{prefix}*" for prefix in keys.PREFIXES),
    *("+@read", "+@write", "+@scripting", "+@transaction", "+@connection"),
    *("-@dangerous", "+info", "+time", "+cluster|slots"),
)
REMEDY = {
    "unreachable": "look at REDIS_URL, whether Redis runs there, and with TLS at its maxclients",
    "timeout": "it does not answer in time: look at its load, at the network, and whether it speaks TLS",
    "authentication": "it needs another user or password: look at REDIS_URL",
    "permission": f"give its user these rights: {' '.join(RIGHTS)}",
    "read_only": "it accepts no writes: point REDIS_URL at the primary, look at its disk",
    "connections": "its maxclients connections are all in use: raise it, or lower WEB_CONCURRENCY",
    "out_of_memory": "its memory is full: raise maxmemory",
    "loading": "it is still loading its data: wait",
    "tls_certificate": "no trusted authority signed its certificate: set REDIS_TLS_CA, or for a platform's "
    "self-signed one REDIS_TLS_VERIFY=none",
    "tls_hostname": "its certificate is for another host: set REDIS_TLS_VERIFY=ca",
    "tls_protocol": "it speaks no TLS that we accept: look at the scheme and the port of REDIS_URL",
    "cluster": "the cluster is not complete: look at its nodes, and whether the user may call CLUSTER SLOTS",
}


def look(settings: Settings, client: RedisClient) -> Iterator[Finding]:
    """Make one finding for each property. This writes no data to Redis."""
    if settings.embedded:
        yield fault(
            "redis", "REDIS_URL is not set: all state ends with the one process; set it in production"
        )
        return
    try:
        with available():
            client.ping()
            client.eval(TRY, 1, keys.probe(secrets.token_hex(8)))
            nodes = [_Node(client, target) for target in servers.primaries(client)]
        Scripts(client).load()
    except StoreUnavailable as error:
        yield fault("redis", explain(error))
        return
    checks: tuple[tuple[str, Callable[[list[_Node]], Finding]], ...] = (
        ("redis", _version),
        ("eviction", _memory),
        ("connections", lambda nodes: _connections(nodes, settings)),
        ("round_trip", _round_trip),
        ("clock", _clock),
    )
    for name, check in checks:
        try:
            with available():
                finding = check(nodes)
        except StoreUnavailable as error:
            finding = _unknown(name, error.reason)
        yield finding
    yield redis_tls.look(settings.redis_url or "", settings.redis_tls_verify)


def explain(error: StoreUnavailable) -> str:
    """The reason of a failed call to Redis, and what to do about it."""
    return f"{error.reason}: {REMEDY.get(error.reason, 'look at its log')}"


def _unknown(name: str, label: str) -> Finding:
    if label == "permission":
        return warning(name, "not checked: allow the user INFO and TIME, or look yourself")
    return warning(name, f"Redis does not show this ({label}): look at it yourself")


class _Node:
    """One server: the only one, or one primary of a cluster."""

    def __init__(self, client: RedisClient, target: Any) -> None:
        self._client = client
        self._options = servers.on(target)

    def info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.info(section, **self._options)
        return found

    def clock(self) -> float:
        seconds, micros = self._client.time(**self._options)
        return int(seconds) + int(micros) / 1e6

    def ping(self) -> None:
        self._client.ping(**self._options)


def _version(nodes: list[_Node]) -> Finding:
    server = [node.info("server") for node in nodes]
    versions = sorted({str(info.get("redis_version", "")) for info in server}, key=_numbers)
    roles = {str(node.info("replication").get("role", "master")) for node in nodes}
    if roles != {"master"}:
        return fault("redis", "it is a replica, which accepts no writes: point REDIS_URL at the primary")
    if not _numbers(versions[0]):
        return _unknown("redis", "no version")
    if _numbers(versions[0])[:2] < OLDEST:
        return fault("redis", f"Redis {quote(versions[0])} is too old: install 6.2 or newer")
    where = f"{len(nodes)} primaries" if len(nodes) > 1 else "primary"
    return ok("redis", f"Redis {quote(', '.join(versions))}, {where}, runs the scripts")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _memory(nodes: list[_Node]) -> Finding:
    found = [node.info("memory") for node in nodes]
    if any("maxmemory_policy" not in info for info in found):
        return _unknown("eviction", "no maxmemory_policy")
    policies = {quote(info["maxmemory_policy"]) for info in found}
    limits = [(_whole(info, "used_memory"), _whole(info, "maxmemory")) for info in found]
    limited = any(limit for _, limit in limits)
    used = max(used for used, _ in limits) / 2**20
    evicting = sorted(policies - {"noeviction"})
    if evicting:
        words = f"maxmemory-policy {evicting[0]} evicts limits and sessions: set noeviction"
        return (
            fault("eviction", words) if limited else warning("eviction", f"{words}, before maxmemory is set")
        )
    if not limited:
        return ok("eviction", f"noeviction, no maxmemory, {used:.0f} MiB used")
    fullest = max(used / limit for used, limit in limits if limit)
    words = f"noeviction, {fullest:.0%} of maxmemory used"
    if fullest >= 1:
        return fault("eviction", f"{words}: writes are refused; raise it")
    if fullest > NEARLY_FULL:
        return warning("eviction", f"{words}: raise it before writes are refused")
    return ok("eviction", words)


def _connections(nodes: list[_Node], settings: Settings) -> Finding:
    most = settings.web_concurrency * most_connections(settings.threads)
    limit = min(_whole(node.info("clients"), "maxclients") for node in nodes)
    if not limit:
        return _unknown("connections", "no maxclients")
    words = f"maxclients is {limit}, one host of gateways uses at most {most}"
    if limit < most:
        return warning(
            "connections",
            f"{words}: under load requests are answered 503; raise it, or lower WEB_CONCURRENCY",
        )
    return ok("connections", f"{words}: enough for {limit // most} of them")


def _whole(info: dict[str, Any], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) else 0


def _round_trip(nodes: list[_Node]) -> Finding:
    worst = max(_median(node, PING_SECONDS / len(nodes)) for node in nodes)
    words = f"{worst:.1f} ms in the median"
    if worst >= TOO_FAR:
        return fault("round_trip", f"{words}: Redis is too far away, calls will time out; move it nearer")
    if worst >= FAR:
        return warning("round_trip", f"{words}: each request waits for two; move Redis nearer")
    return ok("round_trip", words)


def _median(node: _Node, seconds: float) -> float:
    ends = time.monotonic() + seconds
    times = [_timed(node.ping)]
    while len(times) < PINGS and time.monotonic() < ends:
        times.append(_timed(node.ping))
    return statistics.median(times)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def _clock(nodes: list[_Node]) -> Finding:
    ahead = [_ahead(node) for node in nodes]
    spread, most = max(ahead) - min(ahead), max(ahead, key=abs)
    if spread > NODE_DRIFT:
        return fault("clock", f"the cluster's nodes are {spread:.1f} s apart: run NTP on all of them")
    words = f"Redis's clock is {abs(most):.1f} s {'ahead of' if most > 0 else 'behind'} this machine's"
    if abs(most) > TOO_MUCH_DRIFT:
        return fault("clock", f"{words}: tokens will be refused; run NTP on both")
    if abs(most) > DRIFT:
        return warning("clock", f"{words}: run NTP on both")
    return ok("clock", f"Redis and this machine agree within {DRIFT:g} s")


def _ahead(node: _Node) -> float:
    """How many seconds the node's clock is ahead of ours, by the fastest of three readings."""
    readings = []
    for _ in range(3):
        before = time.time()
        there = node.clock()
        after = time.time()
        readings.append((after - before, there - (before + after) / 2))
    return min(readings)[1]
