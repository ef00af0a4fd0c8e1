"""The cost of each kind of request: processor time of the gateway and of Redis, round trips, bytes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Reply, exchange, get, post
from benchmarks.site import Site, Usage, new_address, new_phone

API = "/api/v1/usr"
TURNS = 5
REQUESTS = 20_000
LOGINS = 4_000
WARM_UP = 300
HEAD = (
    f"{'request':<26}{'gateway':>9}{'x bare':>8}{'Redis':>8}{'trips':>8}{'sent':>8}{'read':>8}\n"
    f"{'':<26}{'us':>9}{'':>8}{'us':>8}{'':>8}{'bytes':>8}{'bytes':>8}"
)


@dataclass
class Cost:
    """One row of the table: what one request uses, a value for each turn."""

    name: str
    turns: list[Usage] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        gateway, redis, trips, sent, read = (
            statistics.median(values)
            for values in zip(*((u.gateway, u.redis, u.round_trips, u.sent, u.read) for u in self.turns))  # noqa: B905  # rows of one type
        )
        return (
            f"{self.name:<26}{1e6 * gateway:>9.0f}{statistics.median(self.ratios):>8.2f}{1e6 * redis:>8.0f}"
            f"{trips:>8.1f}{sent:>8.0f}{read:>8.0f}"
        )


class Costs:
    """Runs the bare route and each kind of request in turns."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rows: dict[str, Cost] = {}
        self._unit = 1.0

    def measure(self, requests: int = REQUESTS, logins: int = LOGINS) -> Iterator[Cost]:
        """The rows of the table."""
        self._turn(WARM_UP, WARM_UP)
        self._rows.clear()
        for _ in range(TURNS):
            self._turn(requests // TURNS, logins // TURNS)
        yield from self._rows.values()

    def _turn(self, count: int, logins: int) -> None:
        bare = [post("/bare", {"code": "000000"}, address=new_address()) for _ in range(count)]
        began = self._site.bare_seconds()
        self._exchange(200, bare, self._site.bare.port)
        self._unit = (self._site.bare_seconds() - began) / count
        self._add("bare route", Usage(gateway=self._unit))
        self._wrong_verifies(count)
        tokens = self._logins(logins)
        self._refreshes(count, [refresh for _, refresh in tokens])
        self._users(count, [access for access, _ in tokens])

    def _wrong_verifies(self, count: int) -> None:
        """Each guess is for a phone and from an address of its own."""
        bodies = [{"phone_number": new_phone().e164, "code": "000000"} for _ in range(count)]
        guesses = [post(f"{API}/otp/verify", body, address=new_address()) for body in bodies]
        before = self._site.usage()
        self._exchange(400, guesses)
        self._add("wrong verify", (self._site.usage() - before) / count)

    def _logins(self, count: int) -> list[tuple[str, str]]:
        """Access and refresh tokens. The codes are read from Redis between the two measured parts."""
        phones = [new_phone() for _ in range(count)]
        sends = [post(f"{API}/otp", {"phone_number": p.e164}, address=new_address()) for p in phones]
        before = self._site.usage()
        self._exchange(200, sends)
        send = (self._site.usage() - before) / count
        verifies = [
            post(f"{API}/otp/verify", {"phone_number": phone.e164, "code": code}, address=new_address())
            for phone, code in zip(phones, self._site.codes_of(phones), strict=True)
        ]
        before = self._site.usage()
        bodies = [json.loads(reply.body) for reply in self._exchange(200, verifies)]
        verify = (self._site.usage() - before) / count
        self._add("send", send)
        self._add("right verify", verify)
        self._add("login: both together", send + verify)
        return [(body["access_token"], body["refresh_token"]) for body in bodies]

    def _refreshes(self, count: int, tokens: list[str]) -> None:
        """The sessions are refreshed again and again, each with its newest token."""
        before, done = self._site.usage(), 0
        while done < count:
            presented = tokens[: count - done]
            replies = self._exchange(
                200,
                [
                    post(f"{API}/token/refresh", {"refresh_token": token}, address=new_address())
                    for token in presented
                ],
            )
            tokens = tokens[len(presented) :] + [json.loads(reply.body)["refresh_token"] for reply in replies]
            done += len(presented)
        self._add("refresh", (self._site.usage() - before) / count)

    def _users(self, count: int, tokens: list[str]) -> None:
        reads = [
            get(f"{API}/me", address=new_address(), Authorization=f"Bearer {tokens[i % len(tokens)]}")
            for i in range(count)
        ]
        before = self._site.usage()
        self._exchange(200, reads)
        self._add("me", (self._site.usage() - before) / count)

    def _exchange(self, status: int, requests: Sequence[bytes], port: int | None = None) -> list[Reply]:
        replies = exchange(port or self._site.gateway.port, requests)
        for reply in replies:
            if reply.status != status:
                raise RuntimeError(f"{reply.status} instead of {status}: {reply.body!r}")
        return replies

    def _add(self, name: str, usage: Usage) -> None:
        row = self._rows.setdefault(name, Cost(name))
        row.turns.append(usage)
        row.ratios.append(usage.gateway / self._unit)
