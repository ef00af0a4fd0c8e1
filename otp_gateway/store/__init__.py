"""State in Redis: keys with a TTL, and one Lua script for each transition."""

from otp_gateway.store.connect import connect

__all__ = ["connect"]
