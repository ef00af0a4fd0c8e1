"""Redis: a primary, new enough, that runs scripts, evicts nothing, is private and near, and knows the time."""

from __future__ import annotations

import ipaddress
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from otp_gateway.checks.finding import Finding, fault, ok, warning
from otp_gateway.errors import StoreUnavailable
from otp_gateway.settings import Settings
from otp_gateway.store.faults import reason
from otp_gateway.store.scripts import Scripts, available

OLDEST = (6, 2)
PINGS = 20
# Milliseconds of a round trip: two of them stand in every request, and each gives up after some hundred.
FAR, TOO_FAR = 10.0, 100.0
# Seconds between Redis's clock and this machine's: tokens carry Redis's, and are checked by a local one.
DRIFT, TOO_MUCH_DRIFT = 1.0, 5.0
# Seconds between the nodes of a cluster: a request takes its clock from one, and has its deadline at another.
NODE_DRIFT = 0.5
REMEDY = {
    "unreachable": "look at REDIS_URL, and whether Redis runs there",
    "timeout": "it does not answer in time: look at its load and at the network",
    "authentication": "it wants another user or password: look at REDIS_URL",
    "permission": "the user may not do what the gateway needs: allow it scripts and all data commands",
    "read_only": "it takes no writes: point REDIS_URL at the primary, look at its disk",
    "out_of_memory": "its memory is full: raise maxmemory",
    "loading": "it is still loading its data: wait",
    "cluster": "the cluster is not whole: look at its nodes",
}


def look(settings: Settings, client: Any) -> Iterator[Finding]:
    """One line for each question; nothing is written to Redis."""
    if settings.embedded:
        yield fault(
            "redis", "REDIS_URL is not set: all state ends with the one process; set it in production"
        )
        return
    try:
        with available():
            client.ping()
            client.eval("return 1", 0)
            nodes = [_Node(client, target) for target in _targets(client)]
        Scripts(client).load()
    except StoreUnavailable as error:
        yield fault("redis", f"{error.reason}: {REMEDY.get(error.reason, 'look at its log')}")
        return
    for look_at in (_version, _memory, _round_trip, _clock):
        try:
            yield look_at(nodes)
        except (RedisError, OSError) as error:
            yield warning(
                "redis", f"it does not tell ({reason(error)}): {REMEDY.get(reason(error), 'look at it')}"
            )
    yield _privacy(settings.redis_url or "")


class _Node:
    """One server: the only one, or a primary of a cluster."""

    def __init__(self, client: Any, target: Any) -> None:
        self._client = client
        self._options: dict[str, Any] = {} if target is None else {"target_nodes": target}

    def info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.info(section, **self._options)
        return found

    def clock(self) -> float:
        seconds, micros = self._client.time(**self._options)
        return int(seconds) + int(micros) / 1e6

    def ping(self) -> None:
        self._client.ping(**self._options)


def _targets(client: Any) -> list[Any]:
    primaries = getattr(client, "get_primaries", None)
    return sorted(primaries(), key=lambda node: str(node.name)) if primaries else [None]


def _version(nodes: list[_Node]) -> Finding:
    server = [node.info("server") for node in nodes]
    versions = sorted({str(info["redis_version"]) for info in server}, key=_numbers)
    roles = {str(node.info("replication").get("role", "master")) for node in nodes}
    if roles != {"master"}:
        return fault("redis", "it is a replica, which takes no writes: point REDIS_URL at the primary")
    if _numbers(versions[0])[:2] < OLDEST:
        return fault("redis", f"Redis {versions[0]} is too old: 6.2 or newer")
    where = f"{len(nodes)} primaries" if len(nodes) > 1 else "primary"
    return ok("redis", f"Redis {', '.join(versions)}, {where}, runs the scripts")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _memory(nodes: list[_Node]) -> Finding:
    found = [node.info("memory") for node in nodes]
    policies = {str(info.get("maxmemory_policy", "noeviction")) for info in found}
    limited = any(int(info.get("maxmemory", 0)) for info in found)
    used = max(int(info.get("used_memory", 0)) for info in found) / 2**20
    evicting = sorted(policies - {"noeviction"})
    if evicting:
        words = f"maxmemory-policy {evicting[0]} evicts limits and sessions: set noeviction"
        return (
            fault("eviction", words) if limited else warning("eviction", f"{words}, before maxmemory is set")
        )
    if not limited:
        return ok("eviction", f"noeviction, no maxmemory, {used:.0f} MiB used")
    largest = max(
        int(info["used_memory"]) / int(info["maxmemory"]) for info in found if int(info["maxmemory"])
    )
    words = f"noeviction, {largest:.0%} of maxmemory used"
    return (
        warning("eviction", f"{words}: raise it before writes are refused")
        if largest > 0.8
        else ok("eviction", words)
    )


def _round_trip(nodes: list[_Node]) -> Finding:
    worst = max(statistics.median(_timed(node.ping) for _ in range(PINGS)) for node in nodes)
    words = f"{worst:.1f} ms, median of {PINGS}"
    if worst >= TOO_FAR:
        return fault("round_trip", f"{words}: Redis is too far away, calls will time out; move it nearer")
    if worst >= FAR:
        return warning("round_trip", f"{words}: each request waits for two; move Redis nearer")
    return ok("round_trip", words)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def _clock(nodes: list[_Node]) -> Finding:
    ahead = [_ahead(node) for node in nodes]
    spread, most = max(ahead) - min(ahead), max(ahead, key=abs)
    if spread > NODE_DRIFT:
        return fault("clock", f"the cluster's nodes are {spread:.1f} s apart: run NTP on all of them")
    words = f"Redis's is {abs(most):.1f} s {'ahead of' if most > 0 else 'behind'} this machine's"
    if abs(most) > TOO_MUCH_DRIFT:
        return fault("clock", f"{words}: tokens will be refused; run NTP on both")
    if abs(most) > DRIFT:
        return warning("clock", f"{words}: run NTP on both")
    return ok("clock", words)


def _ahead(node: _Node) -> float:
    """Seconds that the node's clock is ahead of ours; the least delayed of three readings."""
    readings = []
    for _ in range(3):
        before = time.time()
        there = node.clock()
        after = time.time()
        readings.append((after - before, there - (before + after) / 2))
    return min(readings)[1]


def _privacy(url: str) -> Finding:
    parts = urlsplit(url)
    hosts = [urlsplit(f"//{host}").hostname or "" for host in parts.netloc.rpartition("@")[2].split(",")]
    if parts.scheme == "rediss" or "ssl=" in parts.query:
        if "ssl_cert_reqs=none" in parts.query:
            return fault("redis_tls", "ssl_cert_reqs=none takes any certificate: give ssl_ca_certs instead")
        return ok("redis_tls", "TLS, the certificate is checked")
    if parts.scheme == "unix":
        return ok("redis_tls", "a unix socket")
    if all(_is_loopback(host) for host in hosts):
        return ok("redis_tls", "on this machine")
    return warning(
        "redis_tls", "without TLS: whoever is on the way can end limits and sessions; use rediss://"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
