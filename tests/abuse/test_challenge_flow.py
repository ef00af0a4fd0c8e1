"""The whole flow over real workers: a burst, a challenge, its solution, a send; and what attackers try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from otp_gateway.store.scripts import sources
from tests.conftest import SECRET_KEY
from tests.faults.support import sha
from tests.races.support import at_once, outcomes
from tests.support import kavenegar_faults as faults
from tests.support.challenges import easy_solution, encoded, solved
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, start_cluster

SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
HOME, AWAY = "192.0.2.1", "198.51.100.1"
PHONES = [f"+98912345670{n}" for n in range(10)]


class Site:
    """A gateway whose networks have credit for one send, all together."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def send(self, phone: str, solution: str | None = None, *, network: str = HOME) -> requests.Response:
        body = {"phone_number": phone} | ({} if solution is None else {"challenge": solution})
        return self.gateway.post(SEND, body, headers={"X-Forwarded-For": network})

    def challenge(self, phone: str, *, network: str = HOME) -> dict[str, Any]:
        """The challenge in the answer to the send."""
        reply = self.send(phone, network=network)
        assert (reply.status_code, reply.json()["code"]) == (429, "challenge_required")
        assert reply.headers["Retry-After"] == "60"
        challenge: dict[str, Any] = reply.json()["challenge"]
        return challenge

    def solution(self, phone: str, *, network: str = HOME) -> str:
        return encoded(solved(self.challenge(phone, network=network)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with start_cluster() as servers:
        yield servers


@pytest.fixture(params=["one Redis"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Redis, or of an empty cluster."""
    if request.param == "one Redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.clear()
        return server.url
    servers: list[RedisServer] = request.getfixturevalue("cluster")
    for server in servers:
        server.clear()
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


on_a_cluster_too = pytest.mark.parametrize("redis_url", ["one Redis", "a cluster"], indirect=True)


@pytest.fixture
def environment(redis_url: str, emulator: KavenegarEmulator) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": "10000/minute",
        "OTP_GATE": "on",
        "OTP_GATE_CREDIT": "1",
        "TRUSTED_PROXIES": "1",
    }


@pytest.fixture
def site(environment: dict[str, str]) -> Iterator[Site]:
    with Gateway(environment, workers=2) as gateway:
        site = Site(gateway)
        assert site.send("+989123456799", network="203.0.113.9").status_code == 200
        yield site


def code_of(reply: requests.Response) -> str:
    return str(reply.json().get("code", reply.status_code))


def test_a_user_who_solves_the_challenge_signs_in(site: Site, emulator: KavenegarEmulator) -> None:
    phone = PHONES[0]
    challenge = site.challenge(phone)
    assert emulator.messages_to(phone) == []

    assert site.send(phone, encoded(solved(challenge))).status_code == 200
    body = {"phone_number": phone, "code": emulator.code_for(phone)}
    assert site.gateway.post(VERIFY, body).status_code == 200


def test_a_network_that_has_used_up_its_challenges_is_paused_and_no_other_network_is(
    site: Site, emulator: KavenegarEmulator
) -> None:
    for phone in PHONES[:3]:
        assert site.send(phone, site.solution(phone)).status_code == 200

    solution = site.solution(PHONES[3])
    reply = site.send(PHONES[3], solution)
    assert (reply.status_code, code_of(reply)) == (429, "sending_paused")
    assert reply.headers["Retry-After"] == "3600"
    assert "challenge" not in reply.json()
    # Only a send that goes out uses the solution. The solution is for the phone, on any network.
    assert site.send(PHONES[3], solution, network=AWAY).status_code == 200
    assert len(emulator.messages) == 5


@on_a_cluster_too
def test_a_solution_is_used_once_and_for_its_phone_only(site: Site, emulator: KavenegarEmulator) -> None:
    first, second = PHONES[:2]
    solution = site.solution(first)

    assert code_of(site.send(second, solution)) == "invalid_challenge"
    assert site.send(first, solution).status_code == 200
    assert code_of(site.send(first, solution)) == "invalid_challenge"
    assert code_of(site.send(first, solution, network=AWAY)) == "invalid_challenge"
    assert len(emulator.messages_to(first)) == 1
    assert emulator.messages_to(second) == []


def test_an_expired_solution_sends_nothing_and_its_answer_leads_on(
    site: Site, emulator: KavenegarEmulator
) -> None:
    phone = PHONES[0]
    reply = site.send(phone, easy_solution(phone, age_ms=121_000))
    assert (reply.status_code, code_of(reply)) == (400, "invalid_challenge")
    assert emulator.messages_to(phone) == []
    assert site.send(phone, encoded(solved(reply.json()["challenge"]))).status_code == 200


def test_a_forged_challenge_buys_nothing(site: Site, emulator: KavenegarEmulator) -> None:
    phone = PHONES[0]
    forged = [easy_solution(phone, secret="another secret, of forty or more letters"), "nonsense", ""]
    document = json.loads(json.dumps(solved(site.challenge(phone))))
    for name, value in {"cost": 1, "keyPrefix": "", "expiresAt": 2**40, "data": {"attempts": 1}}.items():
        changed = json.loads(json.dumps(document))
        changed["challenge"]["parameters"][name] = value
        forged.append(encoded(changed))

    for solution in forged:
        reply = site.send(phone, solution)
        assert code_of(reply) == "invalid_challenge"
        # A malformed solution does not get an easier challenge than that of the gate.
        attempts = reply.json()["challenge"]["parameters"]["data"]["attempts"]
        assert attempts > document["challenge"]["parameters"]["data"]["attempts"]
    assert emulator.messages_to(phone) == []


@on_a_cluster_too
def test_of_twenty_sends_at_once_with_one_solution_one_goes_out_and_one_is_counted(
    site: Site, emulator: KavenegarEmulator
) -> None:
    first, *others = PHONES[:3]
    solution = site.solution(first)

    found = outcomes(at_once([lambda: site.send(first, solution)] * 20))

    assert found["200"] == 1
    # On a cluster, each of them holds a challenge of the network until issue.lua refuses it.
    assert set(found) <= {"200", "invalid_challenge", "sms_busy", "sending_paused"}
    assert len(emulator.messages_to(first)) == 1
    # The network may have three sends with a solved challenge in a day. Two of them are left.
    for phone in others:
        assert site.send(phone, site.solution(phone)).status_code == 200
    assert code_of(site.send(PHONES[4], site.solution(PHONES[4]))) == "sending_paused"


@on_a_cluster_too
def test_a_failed_send_gives_back_the_solution_and_the_networks_allowance(
    site: Site, emulator: KavenegarEmulator
) -> None:
    phone = PHONES[0]
    solution = site.solution(phone)
    emulator.set_fault(faults.code(418))
    for _ in range(5):
        assert code_of(site.send(phone, solution)) == "sms_failed"
    emulator.set_fault(None)

    assert site.send(phone, solution).status_code == 200
    for other in PHONES[1:3]:
        assert site.send(other, site.solution(other)).status_code == 200


def test_a_network_that_owes_credit_gets_a_harder_challenge(environment: dict[str, str]) -> None:
    def attempts(challenge: dict[str, Any]) -> int:
        found: int = challenge["parameters"]["data"]["attempts"]
        return found

    with Gateway(environment | {"OTP_GATE_CREDIT": "7"}, workers=1) as gateway:
        site = Site(gateway)
        # The network's own credit, and one more credit that all networks share.
        for n in range(6):
            assert site.send(f"+98912345680{n}").status_code == 200
        assert site.send("+989123456810", network=AWAY).status_code == 200

        harder, easier = site.challenge(PHONES[0]), site.challenge(PHONES[0], network=AWAY)
        assert attempts(harder) > attempts(easier)


def test_a_challenge_costs_two_round_trips_and_changes_nothing(
    environment: dict[str, str], redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    phone = PHONES[0]
    with (
        RedisProxy(redis_server.port) as proxy,
        Gateway(environment | {"REDIS_URL": proxy.url}, workers=1) as gateway,
        redis_server.client() as redis,
    ):
        site = Site(gateway)
        assert site.send("+989123456799").status_code == 200
        site.challenge(phone)

        def keys() -> set[bytes]:
            """All keys except the records for support staff, which are written in the background."""
            kinds = ("code", "tries", "sends", "challenge", "call")
            return {key for kind in kinds for key in redis.scan_iter(f"*:{kind}*")}

        def trips() -> int:
            return sum(proxy.seen(sha(name)) for name in sources().keys() - {"record", "tally"})

        before, trips_before = keys(), trips()
        site.challenge(phone)
        assert (keys(), trips()) == (before, trips_before + 2)
    assert emulator.messages_to(phone) == []
