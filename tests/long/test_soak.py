"""Mixed traffic on two gateways for some minutes, with faults without pause: the contract is kept.

``SOAK_SECONDS`` sets the length. Every check is exact. It takes each request without an answer into account,
and each call whose every reply was lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.long.faults import Faults
from tests.long.figures import Sampler, count, show
from tests.long.invariants import Phone, check_metrics, phones
from tests.long.people import CODE_SECONDS, Person, Racers
from tests.long.site import WORKERS, Site
from tests.long.traffic import Record
from tests.metrics.support import scrape
from tests.support.redis_server import wait_until

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
PEOPLE = 10
# A worker's threads that answer requests, and some of the process's own.
THREADS = 32 + 16
IDLE_CONNECTIONS = 2 * 2 * WORKERS
pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS + 400)]


@dataclass
class Soak:
    """The results after the load, with the site still running."""

    site: Site
    record: Record
    sampler: Sampler
    faults: Faults
    people: list[Person]
    racers: Racers
    phones: list[Phone]


@pytest.fixture(scope="module")
def soak() -> Iterator[Soak]:
    with Site(OTP_EXPIRY_TIME=str(CODE_SECONDS)) as site, Sampler(site) as sampler:
        record, faults = Record(site), Faults(site)
        people, racers = [Person(record, n) for n in range(PEOPLE)], Racers(record)
        over = threading.Event()
        with ThreadPoolExecutor(PEOPLE + 1) as pool:
            jobs = [pool.submit(run, over) for run in [racers.run, *(person.run for person in people)]]
            try:
                faults.run(SECONDS)
            finally:
                over.set()
        for job in jobs:
            job.result()
        # The faults are over, and the load continues for a short time: the sessions' last use.
        with ThreadPoolExecutor(PEOPLE) as pool:
            list(pool.map(Person.finish, people))
        sampler.look_at_keys()
        yield Soak(site, record, sampler, faults, people, racers, phones(site, record.answers))


def found(phones: list[Phone], check: Callable[[Phone], Iterator[str]]) -> list[str]:
    """The violations that the check finds. It prints the requests of the first phones that fail."""
    texts: list[str] = []
    for phone in phones:
        some = [f"{phone.number}: {text}" for text in check(phone)]
        if some and len(texts) < 5:
            show(f"{some}", {phone.story(): {}})
        texts += some
    return texts


def test_the_soak_had_every_kind_of_answer_and_of_fault(soak: Soak) -> None:
    answers = soak.record.answers
    samples = soak.sampler
    show(
        f"soak of {SECONDS:g} s",
        {
            "answers": count(f"{a.route.rpartition('/')[2]} {a.status} {a.code}" for a in answers),
            "faults": soak.faults.counted,
            "exceptions": {
                "requests without an answer": sum(a.status == 0 for a in answers),
                "sends that could not be taken back": sum(len(phone.kept) for phone in soak.phones),
                "calls whose every reply was lost": sum(
                    phone.unknown_sends + phone.unknown_verifies for phone in soak.phones
                ),
                "replies of Redis lost": f"{soak.site.calls.lost} of {soak.site.calls.replies}",
            },
            "medians, middle third and last third": {
                name: "{:.0f}, {:.0f}".format(*samples.thirds(name))
                for name in ("rss_mib", "descriptors", "threads", "connections")
            },
            "other": {
                "phones": len(soak.phones),
                "sessions still live": sum(bool(s.live) for p in soak.people for s in p.sessions),
                "keys looked at": samples.scanned,
                "used_memory at most, MiB": round(samples.most_memory / 2**20, 1),
                "slowest answer, s": round(max(a.ended - a.began for a in answers), 1),
            },
        },
    )
    seen = {answer.outcome for answer in answers}
    assert {
        "200",
        "204",
        "invalid_code",
        "too_many_attempts",
        "too_many_otp_requests",
        "invalid_token",
    } <= seen
    assert {"store_unavailable", "sms_failed", "sms_unconfirmed", "rate_limited"} <= seen
    # Each fault of the deck once takes about a minute.
    assert len(soak.faults.counted) == soak.faults.kinds or SECONDS < 120


def test_every_answer_is_a_documented_one(soak: Soak) -> None:
    assert [a for a in soak.record.answers if a.status == 500] == []
    assert soak.record.violations == []
    for gateway in soak.site.gateways:
        assert "Traceback" not in gateway.log()


def test_few_requests_got_no_answer(soak: Soak) -> None:
    # Only a killed worker and a reload end connections.
    lost = sum(answer.status == 0 for answer in soak.record.answers)
    assert lost <= 0.02 * len(soak.record.answers)


def test_no_phone_is_above_its_windows_and_every_message_is_charged(soak: Soak) -> None:
    assert found(soak.phones, Phone.check_windows) == []


def test_a_send_that_was_refused_or_failed_is_not_charged(soak: Soak) -> None:
    assert found(soak.phones, Phone.check_charges) == []


def test_exactly_the_guesses_that_were_answered_wrong_are_counted(soak: Soak) -> None:
    assert found(soak.phones, Phone.check_tries) == []


def test_no_code_is_used_twice(soak: Soak) -> None:
    assert found(soak.phones, Phone.check_logins) == []


def test_a_confirmed_code_works_whatever_was_answered_503(soak: Soak) -> None:
    raced = set(soak.racers.phones)
    alone = [phone for phone in soak.phones if phone.number not in raced]
    assert found(alone, Phone.check_promises) == []


def test_no_key_is_without_a_ttl_at_any_moment(soak: Soak) -> None:
    assert soak.sampler.scanned > 0
    assert soak.sampler.eternal == set()


def test_the_metrics_are_the_clients_counts(soak: Soak) -> None:
    for host, gateway in enumerate(soak.site.gateways):
        answers = [answer for answer in soak.record.answers if answer.host == host]
        assert list(check_metrics(scrape(gateway), answers)) == []


def test_memory_descriptors_threads_and_connections_stay_flat(soak: Soak) -> None:
    for name, room in (("rss_mib", 10), ("descriptors", 24), ("threads", 8), ("connections", 24)):
        middle, last = soak.sampler.thirds(name)
        assert last <= 1.25 * middle + room, name
    assert max(sample.threads for sample in soak.sampler.samples) <= THREADS


def test_connections_to_redis_are_closed_when_the_load_is_over(soak: Soak) -> None:
    try:
        wait_until(lambda: soak.sampler.now().connections <= IDLE_CONNECTIONS, "idle connections", timeout=60)
    finally:
        show("after the load", {"connections": {"at Redis": soak.sampler.now().connections}})
    before, after = soak.sampler.thirds("descriptors")[1], soak.sampler.now()
    assert after.descriptors <= before + 8
    # The pool has no more threads than during the load.
    assert after.threads <= THREADS
