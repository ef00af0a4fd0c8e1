"""The memory of Redis. If it is full, Redis refuses every write. Then no user can sign in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from otp_gateway.store import servers
from otp_gateway.store.client import RedisClient
from otp_gateway.store.scripts import available


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use, and ``maxmemory``. A ``maximum`` of 0: Redis has no limit, or does not show it."""

    used: int
    maximum: int

    @property
    def fullness(self) -> float:
        """The used share of the limit; 0 if there is no limit."""
        return self.used / self.maximum if self.maximum else 0.0


def read_memory(redis: RedisClient) -> Memory | None:
    """The memory of Redis. On a cluster: the memory of the primary that is nearest to its limit.

    None: Redis does not show it, because the Redis user may not call INFO, or because this is the embedded
    store. Raises ``StoreUnavailable``.
    """
    with available():
        try:
            nodes = [redis.info("memory", **servers.on(node)) for node in servers.primaries(redis)]
        except ResponseError:
            return None
    found = [memory for memory in map(_read, nodes) if memory]
    return max(found, key=lambda memory: (memory.fullness, memory.used), default=None)


def _read(info: Mapping[str, Any]) -> Memory | None:
    used, maximum = info.get("used_memory"), info.get("maxmemory", 0)
    # redis-py returns a value as text if it is not a number.
    if not isinstance(used, int) or not isinstance(maximum, int):
        return None
    return Memory(used, maximum)
