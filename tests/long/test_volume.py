"""A thousand addresses do everything they can at the same time, and honest clients still log in.

``VOLUME_SECONDS`` sets the length of the attack.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import requests
from werkzeug.security import generate_password_hash

from tests.long.attack import ADDRESSES, GUESSED, SENT, VICTIM, Attack
from tests.long.figures import Sampler, count, show
from tests.long.site import Site, workers_of
from tests.long.traffic import ME, OTP, REFRESH, REVOKE, VERIFY, Record
from tests.support.redis_server import wait_until

SECONDS = float(os.environ.get("VOLUME_SECONDS", "45"))
HONEST = 4
# Bytes: the bound of the contract, and the size of a code with its log of sends.
ADDRESS, SESSION, UNSENT, CODE = 4096, 1024, 500, 2048
# Redis's tables grow by doubling, and answers to calls are kept for ten seconds.
TABLES = 2**20
# Two comparisons of a password take 64 MiB; the rest is for two gateways' worth of threads and connections.
MEMORY_MIB = 64 + 96
CLIENT_BUDGET = 10
pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS + 300)]


@dataclass
class Honest:
    """Clients that log in once each, from addresses of their own; they follow ``Retry-After`` of a 503."""

    record: Record
    begun: int = 0
    logins: int = 0
    unserved: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            number = next(self._numbers)
            done = self._log_in(f"+98914{number:07d}", f"198.18.{number // 250}.{number % 250 + 1}", over)
            with self._lock:
                self.begun += done is not None
                self.logins += bool(done)

    def _log_in(self, phone: str, address: str, over: threading.Event) -> bool | None:
        """Whether it went well; None if the attack ended first."""
        for _ in range(10):
            sent = self.record.call(OTP, {"phone_number": phone}, address=address)
            if sent.status not in (0, 503):
                break
            if over.wait(2):
                return None
        if sent.status != 200:
            return self._unserved("send", sent.outcome)
        code = self.record.site.code_of(phone)
        reply = self.record.call(VERIFY, {"phone_number": phone, "code": code}, address=address)
        if reply.status != 200:
            return self._unserved("verify", reply.outcome)
        bearer = {"Authorization": f"Bearer {reply.body['access_token']}"}
        calls = [
            self.record.call(ME, method="GET", headers=bearer, address=address),
            self.record.call(REFRESH, {"refresh_token": reply.body["refresh_token"]}, address=address),
        ]
        with self._lock:
            self.slowest = max([self.slowest, *(call.ended - call.began for call in [reply, *calls])])
        return all(call.status == 200 or self._unserved(call.route, call.outcome) for call in calls)

    def _unserved(self, step: str, outcome: str) -> bool:
        with self._lock:
            self.unserved[f"{step} {outcome}"] += 1
        return False


@dataclass
class Volume:
    """The results after the attack, with the site still running."""

    site: Site
    record: Record
    attack: Attack
    honest: Honest
    sampler: Sampler
    health: Counter[str]
    workers: list[set[int]]
    rss_mib: float
    grown: int


def dataset(site: Site) -> int:
    """Redis's ``used_memory`` without the buffers of its connections."""
    memory = site.store.info("memory")
    return int(memory["used_memory"] - memory["mem_clients_normal"])


def own_tokens(record: Record) -> list[str]:
    """Two attackers log in, and then refresh in a chain."""
    tokens = []
    for phone in (f"{SENT}9999998", f"{SENT}9999999"):
        assert record.call(OTP, {"phone_number": phone}, address="192.0.2.9").status == 200
        body = {"phone_number": phone, "code": record.site.code_of(phone)}
        tokens.append(record.call(VERIFY, body, address="192.0.2.9").body["refresh_token"])
    return tokens


def watch_health(site: Site, over: threading.Event) -> Counter[str]:
    seen: Counter[str] = Counter()
    while not over.wait(0.5):
        for gateway in site.gateways:
            try:
                seen[str(gateway.get("/healthz", timeout=30).status_code)] += 1
            except requests.RequestException as error:
                seen[type(error).__name__] += 1
    return seen


@pytest.fixture(scope="module")
def volume() -> Iterator[Volume]:
    variables = {
        "SMS_TIMEOUT": "10",
        # A large limit is kept in another form.
        "OTP_IP_LIMITS": "1000/minute;100000/day",
        "TOKEN_IP_LIMITS": "1000/minute",
        "ADMIN_PASSWORD_HASH": generate_password_hash("the panel's password"),
    }
    with Site(**variables) as site, Sampler(site) as sampler:
        record = Record(site)
        tokens = own_tokens(record)
        assert record.call(OTP, {"phone_number": VICTIM}, address="192.0.2.7").status == 200
        wait_until(lambda: bool(sampler.samples), "a first sample")
        honest, workers = Honest(record), [workers_of(gateway) for gateway in site.gateways]
        rss_mib, before = sampler.now().rss_mib, dataset(site)
        with ThreadPoolExecutor(HONEST + 1) as pool, Attack(site, record, tokens) as attack:
            health = pool.submit(watch_health, site, attack.over)
            jobs = [pool.submit(honest.run, attack.over) for _ in range(HONEST)]
            time.sleep(SECONDS)
            attack.over.set()
            for job in jobs:
                job.result()
            grown = dataset(site) - before
        sampler.look_at_keys()
        yield Volume(site, record, attack, honest, sampler, health.result(), workers, rss_mib, grown)


def bound(volume: Volume) -> int:
    """The bytes that the attack and the logins may use in Redis."""
    phones = {name.split(b"}")[0] for name in volume.site.store.scan_iter("otp:*:tries", count=1000)}
    sent = {name.split(b"}")[0] for name in volume.site.store.scan_iter("otp:*:sends", count=1000)}
    logins = sum(a.status == 200 and a.route == VERIFY for a in volume.record.answers)
    # One for each address and limit.
    addresses = sum(1 for _ in volume.site.store.scan_iter("ip:*", count=1000))
    return (
        len(phones - sent) * UNSENT
        + len(sent) * CODE
        # A session, and the phone's list of sessions.
        + 2 * logins * SESSION
        + addresses * ADDRESS
        + TABLES
    )


def most_rss(volume: Volume) -> float:
    return max(sample.rss_mib for sample in volume.sampler.samples)


def test_honest_clients_still_log_in(volume: Volume) -> None:
    answers, honest = volume.record.answers, volume.honest
    samples = volume.sampler.samples
    show(
        f"volume: {len(ADDRESSES)} addresses for {SECONDS:g} s",
        {
            "answers": count(f"{a.route.rpartition('/')[2]} {a.status} {a.code}" for a in answers),
            "panel": volume.attack.answers,
            "requests that are not HTTP, or not ours": volume.attack.refusals,
            "/healthz": volume.health,
            "honest": {"begun": honest.begun, "logins": honest.logins, **honest.unserved}
            | {"slowest verify, me or refresh, s": round(honest.slowest, 1)},
            "other": {
                "numbers guessed": GUESSED,
                "dataset of Redis grown by, kB, and bound": f"{volume.grown >> 10}, {bound(volume) >> 10}",
                "used_memory at most, MiB": round(volume.sampler.most_memory / 2**20, 1),
                "worker's RSS before and at most, MiB": f"{volume.rss_mib:.0f}, {most_rss(volume):.0f}",
                "connections at Redis at most": max(s.connections for s in samples),
                "descriptors of a worker at most": max(s.descriptors for s in samples),
            },
        },
    )
    assert honest.begun >= HONEST
    # A send competes with the attack for the provider. The later requests do not.
    assert honest.logins >= honest.begun / 2
    assert sum(n for step, n in honest.unserved.items() if not step.startswith("send")) <= 0.05 * honest.begun


def test_health_is_answered_all_the_time(volume: Volume) -> None:
    assert volume.health.keys() == {"200"}


def test_no_answer_is_a_500_and_each_is_documented(volume: Volume) -> None:
    assert volume.record.violations == []
    assert [name for name in [*volume.attack.answers, *volume.attack.refusals] if "500" in name] == []
    for gateway in volume.site.gateways:
        assert "Traceback" not in gateway.log()


def test_each_refusal_is_a_problem_document_with_an_id(volume: Volume) -> None:
    expected = {"problem+json" in name and "no X-Request-ID" not in name for name in volume.attack.refusals}
    assert expected == {True}, volume.attack.refusals


def test_the_memory_of_redis_grows_by_no_more_than_the_bounds(volume: Volume) -> None:
    assert volume.grown <= bound(volume)


def test_no_worker_ends_and_none_takes_much_memory(volume: Volume) -> None:
    assert [workers_of(gateway) for gateway in volume.site.gateways] == volume.workers
    assert most_rss(volume) <= volume.rss_mib + MEMORY_MIB


def test_no_key_is_without_a_ttl(volume: Volume) -> None:
    assert volume.sampler.eternal == set()


def test_the_subnets_of_one_site_do_not_lock_the_phone_that_they_guess_on(volume: Volume) -> None:
    keys = volume.site.keys(VICTIM)
    assert int(volume.site.store.hget(keys.tries, "failures").split(b":")[0]) <= CLIENT_BUDGET
    address = "192.0.2.77"
    assert volume.record.call(OTP, {"phone_number": VICTIM}, address=address).status == 200
    body = {"phone_number": VICTIM, "code": volume.site.code_of(VICTIM)}
    reply = volume.record.call(VERIFY, body, address=address)
    assert reply.status == 200
    token = {"refresh_token": reply.body["refresh_token"]}
    assert volume.record.call(REVOKE, token, address=address).status == 204
