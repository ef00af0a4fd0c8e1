"""Whether Redis accepts the writes that a login needs, on every primary."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from otp_gateway.errors import StoreUnavailable
from otp_gateway.store import servers
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import Scripts, available

# A worker probes at most once in so many seconds, however often ``fault`` is called.
FRESH_SECONDS = 1.0
TIMEOUT = 0.5
LIFETIME_MS = 1000
# For each primary of a cluster, a key in one of its slots is found among so many names.
MOST_NAMES = 10_000


class WriteProbe:
    """Probes Redis with a script that makes the writes of a login, and deletes its keys."""

    def __init__(
        self, redis: RedisClient, scripts: Scripts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._clock = clock
        self._lock = Lock()
        self._probed_at = -math.inf
        self._fault: StoreUnavailable | None = None

    def fault(self) -> StoreUnavailable | None:
        """The reason why Redis is not ready. None: every primary accepts the writes. At most a second old."""
        with self._lock:
            if self._clock() - self._probed_at >= FRESH_SECONDS:
                self._fault = self._probe()
                self._probed_at = self._clock()
            return self._fault

    def _probe(self) -> StoreUnavailable | None:
        try:
            with available():
                names = [PhoneKeys(pid) for pid in self._one_for_each_primary()]
            for name in names:
                self._scripts.run(
                    "probe", [name.code, name.sends, name.sessions, name.call("")], [LIFETIME_MS], TIMEOUT
                )
        except StoreUnavailable as error:
            return error
        return None

    def _one_for_each_primary(self) -> list[str]:
        """For each primary, a name whose slot it has. The name is the hash tag of the probe's keys."""
        nodes = servers.primaries(self._redis)
        if nodes == [None]:
            return ["probe"]
        cluster: Any = self._redis
        found: dict[str, str] = {}
        for number in range(MOST_NAMES):
            pid = f"probe-{number}"
            node = cluster.get_node_from_key(PhoneKeys(pid).code)
            found.setdefault(str(node.name), pid)
            if len(found) == len(nodes):
                break
        return list(found.values())
