"""A gateway's variables, a script as the proxy sees it, and all data of phones in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from otp_gateway.store.scripts import sources
from tests.support import gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer


def environment(redis_url: str, emulator: KavenegarEmulator, **more: str) -> dict[str, str]:
    """Variables for a provider with a short timeout, and for no limit by address."""
    own = {"SMS_TIMEOUT": "2", "OTP_IP_LIMITS": "10000/minute"}
    return gateway.environment(redis_url, emulator, **(own | more))


def sha(script: str) -> bytes:
    return hashlib.sha1(sources()[script].encode(), usedforsecurity=False).hexdigest().encode()


def snapshot(server: RedisServer) -> dict[bytes, object]:
    """Every key of phones with its value, except the records for support staff: these also have refusals."""
    with server.client() as client:
        read: dict[bytes, Callable[[bytes], object]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        }
        return {
            key: read[client.type(key)](key)
            for key in client.scan_iter(match="otp:*")
            if not key.endswith(b":outcomes")
        }
