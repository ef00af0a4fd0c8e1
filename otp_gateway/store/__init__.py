"""State in Redis: TTL'd keys, and one Lua script for each transition."""

from otp_gateway.store.connect import connect
from otp_gateway.store.redis import RedisStore

__all__ = ["RedisStore", "connect"]
