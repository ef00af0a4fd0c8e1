"""What a phone, a session and an address take in Redis: ``python -m tests.measure.memory``."""

from __future__ import annotations

import sys

from otp_gateway import create_app
from tests.api.support import SEND, VERIFY, Api, Recorder
from tests.conftest import make_settings
from tests.support.redis_server import RedisServer

PHONES = 2000


def main() -> None:
    """Print bytes by MEMORY USAGE for one of each, and by used_memory over many."""
    with RedisServer() as server, server.client() as redis:
        sender = Recorder()
        settings = make_settings(REDIS_URL=server.url, OTP_IP_LIMITS="1000000/minute", LOG_LEVEL="ERROR")
        api = Api(create_app(settings, sender=sender), redis)

        def size(pattern: str) -> int:
            return sum(int(redis.memory_usage(key) or 0) for key in redis.scan_iter(pattern))

        def ask(number: int, ip: str) -> str:
            phone = f"+98912{number:07d}"
            assert api.post(SEND, {"phone_number": phone}, ip=ip).status_code == 200
            return phone

        version = redis.info("server")["redis_version"]
        ask(0, "192.0.2.1")
        show(f"Redis {version}: a phone that has a code, all its keys", size("otp:*"))
        show("an address that made one request, all its keys", size("ip:*"))
        redis.flushall()

        phone = ask(1, "192.0.2.1")
        reply = api.post(VERIFY, {"phone_number": phone, "code": sender.code_for(phone)})
        show("a session", size("otp:*:session:*"))
        show("a phone's list of sessions, with one", size("otp:*:sessions"))
        api.post("/api/v1/usr/token/refresh", {"refresh_token": reply.json["refresh_token"]})  # type: ignore[index]
        show("a session just refreshed", size("otp:*:session:*"))
        redis.flushall()

        before = redis.info("memory")["used_memory"]
        for number in range(PHONES):
            ip = f"10.{number // 250}.{number % 250}.1"
            phone = ask(number, ip)
            reply = api.post(VERIFY, {"phone_number": phone, "code": sender.code_for(phone)}, ip=ip)
            assert reply.status_code == 200
        after = redis.info("memory")["used_memory"]
        show(f"used_memory for one login, of {PHONES} from as many addresses", (after - before) // PHONES)


def show(what: str, size: int) -> None:
    """One line."""
    sys.stdout.write(f"{size:6} bytes  {what}\n")


if __name__ == "__main__":
    main()
