"""The sessions of the panel's operators, and the number of wrong passwords from each network."""

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
    """Reads and writes them. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def locked_for(self, network: str) -> int:
        """For how many seconds this network may not try a password; 0 if it may try now."""
        with available():
            failures = int(self._redis.get(keys.admin_failures(network)) or 0)
            return max(1, self._redis.ttl(keys.admin_failures(network))) if failures >= MAX_FAILURES else 0

    def count_try(self, network: str) -> bool:
        """Count one password of this network. Return whether it may be compared."""
        with available():
            # This is done in one step, so that the count always has an expiry.
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            pipeline.incr(keys.admin_failures(network))
            pipeline.expire(keys.admin_failures(network), LOCK_SECONDS)
            return bool(pipeline.execute()[0] <= MAX_FAILURES)

    def open(self, network: str) -> str:
        """Open a session after the right password; return its id. Forget the network's wrong passwords."""
        with available():
            self._redis.delete(keys.admin_failures(network))
            session_id = secrets.token_urlsafe(24)
            self._redis.set(keys.admin_session(session_id), self._now(), ex=IDLE_SECONDS)
            return session_id

    def is_open(self, session_id: str, *, extend: bool) -> bool:
        """Whether the session is valid. ``extend``: make a valid session valid for another half an hour."""
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
