"""The memory of a phone, a session and an address in Redis: ``python -m tests.measure.memory``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import redis

from otp_gateway import create_app
from tests.api.support import SEND, VERIFY, Api, Recorder
from tests.conftest import make_settings
from tests.sessions.site import REFRESH, pass_time
from tests.support.redis_server import RedisServer

PHONES = 2000
REFRESHES = 2000
ROOMY = {"OTP_IP_LIMITS": "1000000/minute", "TOKEN_IP_LIMITS": "1000000/minute"}


class Measure:
    """A gateway over a Redis of its own."""

    def __init__(self, url: str, client: redis.Redis, **limits: str) -> None:
        self.redis: Any = client
        self.sender = Recorder()
        settings = make_settings(REDIS_URL=url, LOG_LEVEL="ERROR", **limits)
        self.api = Api(create_app(settings, sender=self.sender), client)

    def show(self, what: str, pattern: str) -> None:
        """The size of the keys by MEMORY USAGE, with every field of a hash."""
        sizes = [int(self.redis.memory_usage(key, samples=0)) for key in self.redis.scan_iter(pattern)]
        print_line(what, sum(sizes))

    def show_growth(self, what: str, do: Callable[[str, str], object], *, empty: bool = False) -> None:
        """The growth of ``used_memory`` for each of many phones, each with an IP address of its own.

        ``empty``: from an empty Redis, so with its tables, which grow by doubling.
        """
        if not empty:
            self._each(PHONES, do)
            self.redis.delete(*self.redis.scan_iter("otp:*:call:*"))
        before = self.redis.info("memory")["used_memory"]
        self._each(0, do)
        print_line(what, (self.redis.info("memory")["used_memory"] - before) // PHONES)
        self.redis.flushall()

    def _each(self, first: int, do: Callable[[str, str], object]) -> None:
        for number in range(first, first + PHONES):
            do(f"+98912{number:07d}", f"10.{number // 250}.{number % 250}.1")

    def guess(self, phone: str, ip: str) -> None:
        assert self.api.verify(phone, "000000", ip=ip).status_code == 400

    def login(self, phone: str, ip: str) -> str:
        """The refresh token."""
        assert self.api.send(phone, ip=ip).status_code == 200
        reply = self.api.verify(phone, self.sender.code_for(phone), ip=ip)
        return str(reply.json["refresh_token"])  # type: ignore[index]  # a login's body is an object


def print_line(what: str, size: int) -> None:
    sys.stdout.write(f"{size:6} bytes  {what}\n")


def show_phones(measure: Measure) -> None:
    measure.guess("+989120000000", "192.0.2.1")
    measure.show("a phone that was never sent a code, just after a guess", "otp:*")
    measure.show("the same after 10 s", "otp:*:tries")
    measure.redis.flushall()
    assert measure.api.send("+989120000000").status_code == 200
    measure.show("a phone that has a code, all its keys", "otp:*")
    measure.redis.flushall()


def show_addresses(measure: Measure) -> None:
    measure.api.post(SEND, {})
    measure.show("an IP address that made one request", "ip:*")
    measure.redis.flushall()
    for _ in range(5):
        measure.api.post(VERIFY, {}, ip="2001:db8::1")
    measure.show("an IPv6 client at its limit, its /64 and its /48", "ip:*")
    measure.redis.flushall()


def show_sessions(measure: Measure) -> None:
    token = measure.login("+989120000000", "192.0.2.1")
    measure.show("a session", "otp:*:session:*")
    measure.show("a phone's list of sessions, with one", "otp:*:sessions")
    for number in range(1, REFRESHES + 1):
        reply = measure.api.post(REFRESH, {"refresh_token": token})
        token = str(reply.json["refresh_token"])  # type: ignore[index]  # as above
        if number in (1, 8, REFRESHES):
            measure.show(f"a session refreshed {number} times, eight within 10 s", "otp:*:session:*")
        if number % 8 == 0:
            pass_time(measure.redis, 10)
    measure.redis.flushall()


def main() -> None:
    """Print bytes by MEMORY USAGE for one of each, and by ``used_memory`` over many."""
    with RedisServer() as server, server.client() as client:
        sys.stdout.write(f"Redis {client.info('server')['redis_version']}\n")
        show_addresses(Measure(server.url, client))
        measure = Measure(server.url, client, **ROOMY)
        show_phones(measure)
        show_sessions(measure)
        measure.show_growth(
            "used_memory for a guess on a phone that was never sent a code, from one IP address",
            lambda phone, _: measure.guess(phone, "192.0.2.1"),
        )
        measure.show_growth(
            "the same, each from another IP address, which counts for a minute", measure.guess
        )
        measure.show_growth(
            "used_memory for a login, each from another IP address", measure.login, empty=True
        )


if __name__ == "__main__":
    main()
