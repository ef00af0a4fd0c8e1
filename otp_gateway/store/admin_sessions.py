"""Sessions of the panel's operators, and the wrong passwords of each network."""

from __future__ import annotations

import secrets

from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.scripts import available

IDLE_SECONDS = 1800
LONGEST_SECONDS = 8 * 3600
MAX_FAILURES = 5
LOCK_SECONDS = 900


class AdminSessions:
    """Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def locked_for(self, network: str) -> int:
        """Seconds for which this network may not try; 0: it may."""
        with available():
            failures = int(self._redis.get(keys.admin_failures(network)) or 0)
            return max(1, self._redis.ttl(keys.admin_failures(network))) if failures >= MAX_FAILURES else 0

    def count_try(self, network: str) -> bool:
        """Count one password of this network; whether it may be compared at all."""
        with available():
            # In one step, so that the count never lacks an expiry.
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            pipeline.incr(keys.admin_failures(network))
            pipeline.expire(keys.admin_failures(network), LOCK_SECONDS)
            return bool(pipeline.execute()[0] <= MAX_FAILURES)

    def open(self, network: str) -> str:
        """A new session's id, after the right password; the network's wrong ones are forgotten."""
        with available():
            self._redis.delete(keys.admin_failures(network))
            session_id = secrets.token_urlsafe(24)
            self._redis.set(keys.admin_session(session_id), self._now(), ex=IDLE_SECONDS)
            return session_id

    def is_open(self, session_id: str, *, extend: bool) -> bool:
        """Whether the session is valid. ``extend``: then it stays valid for half an hour more."""
        with available():
            opened = self._redis.get(keys.admin_session(session_id))
            if opened is None or self._now() - int(opened) > LONGEST_SECONDS:
                return False
            if extend:
                self._redis.expire(keys.admin_session(session_id), IDLE_SECONDS)
        return True

    def close(self, session_id: str) -> None:
        """End the session."""
        with available():
            self._redis.delete(keys.admin_session(session_id))

    def _now(self) -> int:
        return int(self._redis.time()[0])
