"""The running parts of a benchmark: Redis, the provider, the gateway, and the bare route."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from itertools import count

from benchmarks.processes import seconds_of_group
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

WORKERS = 2
context = multiprocessing.get_context("spawn")
_numbers = count()


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of a processor, calls of Redis, and their bytes, as Redis counts them."""

    gateway: float = 0.0
    redis: float = 0.0
    round_trips: float = 0.0
    sent: float = 0.0
    read: float = 0.0

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __truediv__(self, count: int) -> Usage:
        return Usage(*(value / count for value in astuple(self)))


@dataclass(frozen=True)
class Site:
    """All parts that a figure needs."""

    redis: RedisServer
    gateway: Gateway
    bare: Gateway
    codes: Codes

    def usage(self) -> Usage:
        """Everything that the gateway and Redis have used so far."""
        with self.redis.client() as client:
            stats, commands = client.info("stats"), client.info("commandstats")
        calls = (commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))
        return Usage(
            gateway=seconds_of_group(self.gateway.pid),
            redis=seconds_of_group(self.redis.pid),
            round_trips=sum(calls),
            sent=stats["total_net_input_bytes"],
            read=stats["total_net_output_bytes"],
        )

    def bare_seconds(self) -> float:
        """Processor seconds of the bare route's processes so far."""
        return seconds_of_group(self.bare.pid)

    def codes_of(self, phones: list[PhoneNumber]) -> list[str]:
        """The active code of each phone: derived from its nonce, as the gateway derives it."""
        with self.redis.client() as client:
            calls = client.pipeline(transaction=False)
            for phone in phones:
                calls.hget(f"otp:{{{self.codes.pid(phone)}}}:code", "nonce")
            nonces = calls.execute()
        return [self.codes.derive(phone, nonce.decode()) for phone, nonce in zip(phones, nonces, strict=True)]


@contextmanager
def site(*, provider_seconds: float = 0, **variables: str) -> Iterator[Site]:
    """Start all parts. The provider has its own process and answers after so many seconds."""
    found, stop = context.Queue(), context.Event()
    provider = context.Process(target=_provide, args=(provider_seconds, found, stop))
    provider.start()
    try:
        api_key, base_url = found.get(timeout=60)
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            environment = {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": redis.url,
                "KAVENEGAR_API_KEY": api_key,
                "KAVENEGAR_BASE_URL": base_url,
                "TRUSTED_PROXIES": "1",
                **variables,
            }
            gateway = stack.enter_context(Gateway(environment, workers=WORKERS))
            bare = stack.enter_context(Gateway(environment, workers=WORKERS, app="benchmarks.bare:app"))
            yield Site(redis, gateway, bare, Codes(SECRET_KEY, 6))
    finally:
        stop.set()
        provider.join()


def new_phone() -> PhoneNumber:
    """A phone that no request has named yet."""
    return PhoneNumber(f"+98912{next(_numbers):07d}")


def new_address() -> str:
    """An IP address that no request has come from yet."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _provide(seconds: float, found: multiprocessing.Queue[tuple[str, str]], stop: threading.Event) -> None:
    with KavenegarEmulator() as emulator:
        if seconds:
            emulator.fault = faults.slow(seconds)
        found.put((emulator.api_key, emulator.base_url))
        stop.wait()
