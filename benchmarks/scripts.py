"""The duration of each script in Redis, as Redis itself measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from benchmarks.site import Site, new_phone
from otp_gateway.errors import InvalidCode
from otp_gateway.gateway import Gateway as Parts
from otp_gateway.messages import Message
from otp_gateway.model import Caller, Clock, SendRequest, Window
from tests.conftest import SECRET_KEY, make_settings

RUNS = 2_000


class SilentSender:
    """Reports each message as sent, and sends none."""

    configured = True

    def send(self, message: Message, deadline: float) -> None:
        """Send no message."""


def measure(site: Site) -> Iterator[str]:
    """Lines: a script under certain conditions, and the microseconds of one run of it."""
    for sends in (1, 20):
        yield _line(f"issue: send number {sends} in the windows", _issue(site, sends))
    yield _line("verify: wrong code", _verify(site))
    for limit in (5, 1_000):
        yield _line(f"admit: the last request of {limit} a minute", _admit(site, limit))


def _line(what: str, microseconds: float) -> str:
    return f"{what:<44}{microseconds:>8.0f} us"


def _issue(site: Site, sends: int) -> float:
    parts = _parts(site, OTP_PHONE_LIMITS=f"{sends}/day")
    phones = [new_phone() for _ in range(RUNS // sends)]

    def send() -> None:
        for phone in phones:
            parts.service.request(SendRequest(phone), _caller(parts))

    for _ in range(sends - 1):
        send()
    return _microseconds(site, send)


def _verify(site: Site) -> float:
    parts = _parts(site)

    def verify() -> None:
        for _ in range(RUNS):
            with suppress(InvalidCode):
                parts.service.verify(new_phone(), "000000", _caller(parts))

    return _microseconds(site, verify)


def _admit(site: Site, limit: int) -> float:
    parts = _parts(site)
    networks = [[parts.codes.client(f"{limit}/{number}")] for number in range(max(2, RUNS // limit))]

    def admit(times: int) -> None:
        for network in networks:
            for _ in range(times):
                parts.address_limits.admit(network, "benchmark", [Window(limit, 60)], 10)

    admit(limit - 1)
    return _microseconds(site, lambda: admit(1))


def _parts(site: Site, **variables: str) -> Parts:
    return Parts.build(
        make_settings(SECRET_KEY=SECRET_KEY, REDIS_URL=site.redis.url, **variables), sender=SilentSender()
    )


def _caller(parts: Parts) -> Caller:
    seconds, micros = parts.redis.time()
    return Caller("benchmark", Clock.read(int(seconds) * 1000 + int(micros) // 1000))


def _microseconds(site: Site, run: Callable[[], object]) -> float:
    with site.redis.client() as client:
        client.config_resetstat()
        run()
        found = client.info("commandstats")["cmdstat_evalsha"]
    return float(found["usec"]) / int(found["calls"])
