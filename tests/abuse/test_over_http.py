"""A small run of the simulation over HTTP: real gunicorn workers, a real Redis, real challenges.

The attack and the honest people come at the same time. The people solve challenges, and sign in with the code
of their message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import SECRET_KEY
from tests.support.challenges import encoded, solved
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
ADDRESSES = [f"198.18.{n // 200}.{n % 200 + 1}" for n in range(120)]
REQUESTS, PEOPLE = 360, 6
# This credit of the new networks is not given back. Each login of a person earns one more.
CREDIT = 60


class Site:
    """A gateway, and its clients by their addresses."""

    def __init__(self, gateway: Gateway, emulator: KavenegarEmulator) -> None:
        self.gateway = gateway
        self.emulator = emulator
        self._numbers = count(1)

    def phone(self, prefix: str = "+98912") -> str:
        """A phone that has had no send."""
        return f"{prefix}{next(self._numbers):07d}"

    def post(self, path: str, address: str, **body: Any) -> requests.Response:
        """A request from this address, repeated while the threads of the worker are busy."""
        while True:
            reply = self.gateway.post(path, body, headers={"X-Forwarded-For": address})
            if code_of(reply) != "sms_busy":
                return reply

    def attack(self, number: int) -> str:
        """One request of the attack, for a number that never signs in."""
        return code_of(self.post(SEND, ADDRESSES[number % len(ADDRESSES)], phone_number=self.phone("+98935")))

    def person(self, address: str) -> str:
        """An honest person: from the request to the tokens, with a challenge if the gateway demands one."""
        phone, challenged = self.phone(), ""
        reply = self.post(SEND, address, phone_number=phone)
        if code_of(reply) == "challenge_required":
            challenged = " after a challenge"
            solution = encoded(solved(reply.json()["challenge"]))
            reply = self.post(SEND, address, phone_number=phone, challenge=solution)
        if reply.status_code != 200:
            return f"refused: {code_of(reply)}"
        reply = self.post(VERIFY, address, phone_number=phone, code=self.emulator.code_for(phone))
        assert reply.status_code == 200
        return f"signed in{challenged}"

    def messages(self) -> int:
        """The messages that the attack has received."""
        return sum(sms.receptor.startswith("+98935") for sms in self.emulator.messages)

    def decisions(self) -> Counter[str]:
        """The decisions of the gate, as the scrape shows them."""
        text = self.gateway.get("/metrics").text
        return Counter(
            {
                sample.labels["decision"]: int(sample.value)
                for metric in text_string_to_metric_families(text)
                for sample in metric.samples
                if sample.name == "otp_gateway_gate_decisions_total"
            }
        )


def code_of(reply: requests.Response) -> str:
    """``200``, or the code of the error."""
    return str(reply.json().get("code", reply.status_code))


@pytest.fixture
def start(redis_server: RedisServer, emulator: KavenegarEmulator) -> Iterator[Callable[..., Site]]:
    redis_server.clear()
    gateways: list[Gateway] = []

    def make(**variables: str) -> Site:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis_server.url,
            "KAVENEGAR_API_KEY": emulator.api_key,
            "KAVENEGAR_BASE_URL": emulator.base_url,
            "TRUSTED_PROXIES": "1",
            # A request that meets a busy worker is repeated.
            "OTP_IP_LIMITS": "10000/minute",
            **variables,
        }
        gateway = Gateway(environment, workers=2)
        gateway.start()
        gateways.append(gateway)
        return Site(gateway, emulator)

    yield make
    for gateway in gateways:
        gateway.stop()


def all_at_once(site: Site) -> tuple[Counter[str], Counter[str]]:
    """The attack, and people on new and on known networks: how often each outcome came."""
    known, fresh = ([f"{network}.{n}" for n in range(1, PEOPLE + 1)] for network in ("203.0.113", "192.0.2"))
    for address in known:
        assert site.person(address) == "signed in"
    with ThreadPoolExecutor(12) as attackers, ThreadPoolExecutor(4) as crowd:
        attack = attackers.map(site.attack, range(REQUESTS))
        people = crowd.map(site.person, [*known, *fresh] * 2)
        return Counter(attack), Counter(people)


def test_an_attack_gets_the_credit_and_no_honest_person_is_refused(start: Callable[..., Site]) -> None:
    site = start(OTP_GATE="on")
    attack, people = all_at_once(site)
    assert attack.total() == REQUESTS
    assert set(attack) == {"200", "challenge_required"}
    # All logins of honest people on new networks can earn a credit each.
    assert attack["200"] <= CREDIT + 3 * PEOPLE <= 78
    assert site.messages() == attack["200"]
    assert people.total() == 4 * PEOPLE
    assert set(people) <= {"signed in", "signed in after a challenge"}
    found = site.decisions()
    assert found["challenge"] == attack["challenge_required"] + people["signed in after a challenge"]
    # If a login has given credit back meanwhile, the gate demands no challenge any more.
    assert found["solved"] <= people["signed in after a challenge"]
    assert found["free"] + found["solved"] == attack["200"] + 5 * PEOPLE
    assert found["paused"] == 0


def test_observe_refuses_no_client_and_counts_what_on_would_do(start: Callable[..., Site]) -> None:
    site = start(OTP_GATE="observe")
    attack, people = all_at_once(site)
    assert attack == {"200": REQUESTS}
    assert people == {"signed in": 4 * PEOPLE}
    assert site.decisions()["challenge"] >= REQUESTS - CREDIT - 3 * PEOPLE


def test_the_budget_bounds_the_messages_exactly_over_all_workers(
    start: Callable[..., Site], emulator: KavenegarEmulator
) -> None:
    site = start(OTP_GATE="observe", OTP_SEND_BUDGET="100/hour")
    with ThreadPoolExecutor(12) as attackers:
        outcomes = Counter(attackers.map(site.attack, range(REQUESTS)))
    assert outcomes == {"200": 70, "sending_paused": REQUESTS - 70}
    assert site.messages() == len(emulator.messages) == 70


def test_the_credit_of_logins_comes_back_to_the_networks(
    start: Callable[..., Site], redis_server: RedisServer
) -> None:
    site = start(OTP_GATE="on")
    for _ in range(3):
        assert site.person("192.0.2.1") == "signed in"

    def is_back() -> bool:
        with redis_server.client() as client:
            text = client.hget("gate:{send}:shared", "new")
        # Three credits were taken and given back, and each first login of a phone has earned one.
        return bool(text) and float(text.split(b":")[0]) > CREDIT + 0.5

    wait_until(is_back, "the credit")
