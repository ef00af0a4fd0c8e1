"""The send gate on a real cluster: it is in another slot than the phones, so it is called first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from otp_gateway.errors import StoreUnavailable, TooManyOtpRequests
from otp_gateway.events import Batch
from otp_gateway.model import Issued, PhoneNumber, SendRequest, Solution
from otp_gateway.store import connect, keys
from otp_gateway.store.gate import GateRefusal
from otp_gateway.store.gate_writer import UnusedChargeWriter
from otp_gateway.store.scripts import Reply
from tests.abuse.test_gate import CHALLENGE, FREE, HOUR, PAUSED, Gate, each_new
from tests.conftest import SECRET_KEY
from tests.recording.support import a_send
from tests.store.bench import PHONE, RecordedScripts
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, start_cluster, wait_until

SEND = "/api/v1/usr/otp"
LOST = "timeout"


class LosingScripts(RecordedScripts):
    """Loses the replies of some calls, or the calls themselves, until the timeout of the call."""

    lost_replies: tuple[str, ...] = ()
    lost_calls: tuple[str, ...] = ()

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int], patience: float) -> Reply:
        if name in self.lost_calls:
            self.calls = [*getattr(self, "calls", []), (name, keys, args)]
            raise StoreUnavailable(LOST)
        reply = super().run(name, keys, args, patience)
        if name in self.lost_replies:
            raise StoreUnavailable(LOST)
        return reply


class ClusterGate(Gate):
    """A gate on a cluster, and its writer of unused charges."""

    def __init__(self, nodes: list[RedisServer], **options: Any) -> None:
        self.nodes = nodes
        self._client: Any = connect(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        super().__init__(self._client, **options)
        self.scripts.__class__ = LosingScripts
        self.losing: Any = self.scripts
        self.unused = UnusedChargeWriter(self.gate, self._client, self.policy.lifetime)

    def run(self, *command: Any) -> Any:
        """The cluster's reply to a command with a key."""
        return self._client.execute_command(*command)

    def now(self) -> int:
        with self.nodes[0].client() as client:
            seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def node_of(self, key: str) -> RedisServer:
        """The node that has the key."""
        client: Any = self._client
        port = client.get_node_from_key(key).port
        return next(node for node in self.nodes if node.port == port)

    def elsewhere(self) -> PhoneNumber:
        """A phone whose keys are not on the node of the gate."""
        while True:
            phone = self.phone()
            if self.node_of(self.keys(phone).sends) is not self.node_of(keys.GATE_SHARED):
                return phone

    def state(self, network: str = "home") -> tuple[float, float, list[int]]:
        """The credit of a network and of the new networks, and the messages in the budget."""
        own, pool = self.of_network(network), self.of_pool("new")
        return round(own, 1), round(pool, 1), [use.sends for use in self.figures.budget()]

    def give_back_unused(self, batch: str = "unused") -> None:
        """As the recorder does it: give back the charges of sends that were not made."""
        self.unused.write(Batch(batch, list(self.reported), {}))


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[RedisServer]]:
    with start_cluster() as servers:
        yield servers


@pytest.fixture
def gate(nodes: list[RedisServer]) -> ClusterGate:
    for node in nodes:
        node.clear()
    gate = ClusterGate(nodes, budget="40/3600;400/86400")
    assert gate.gate.apart
    gate.scripts.load()
    return gate


def test_the_buckets_are_those_of_one_redis(gate: ClusterGate) -> None:
    assert gate.decisions(8) == [FREE] * 6 + [CHALLENGE] * 2
    assert gate.decisions(4, solved=True) == ["solved"] * 3 + [PAUSED]
    gate.sign_in("work")
    assert gate.of_network("work") == pytest.approx(7, abs=0.1)
    issued = gate.send("train")
    assert isinstance(issued, Issued)
    before = gate.state("train")
    gate.withdraw(issued, gate.caller("train"), phone=gate.last_phone)
    gate.replay()
    own, pool, used = gate.state("train")
    assert (own - before[0], pool - before[1]) == pytest.approx((1, 1), abs=0.2)
    assert used == [number - 1 for number in before[2]]


def test_strangers_have_seventy_percent_of_the_budget_and_devices_all_of_it(gate: ClusterGate) -> None:
    network = each_new()
    gate.write(Batch("further messages", [a_send("one", attempts=5)], {}))
    assert gate.decisions(25, network) == [FREE] * 24 + [PAUSED]
    caller = replace(gate.caller(network()), device_made_at=gate.now() - 60_000)
    passed = []
    for _ in range(13):
        phone = gate.phone()
        try:
            gate.store.issue(SendRequest(phone), caller, gate.codes.propose(phone))
        except GateRefusal as refusal:
            passed.append(refusal.reason)
        else:
            passed.append("passed")
    assert passed == ["passed"] * 12 + ["budget"]
    assert [use.sends for use in gate.figures.budget()] == [40, 40]


def test_a_device_passes_the_gate_without_credit_and_counts_in_the_budget(gate: ClusterGate) -> None:
    gate.decisions(6)
    phone = gate.phone()
    for turn in range(4):
        caller = replace(gate.caller(), device_made_at=gate.now() - 60_000)
        # The window of the lane refuses the fourth send, which then costs no credit.
        with pytest.raises(TooManyOtpRequests) if turn > 2 else nullcontext():
            gate.store.issue(SendRequest(phone), caller, gate.codes.propose(phone))
        assert gate.of_network() == pytest.approx(0, abs=0.1)
    assert [use.sends for use in gate.figures.budget()] == [9, 9]


def test_a_pause_wants_a_challenge_and_a_mute_stops_strangers(gate: ClusterGate) -> None:
    gate.pauses.start("prefix", "+98912", HOUR)
    assert gate.decision("home") == CHALLENGE
    assert gate.decision("home", solved=True) == "solved"
    assert gate.pauses.end("prefix", "+98912")
    gate.pauses.start("network", "work", HOUR)
    assert (gate.decision("work"), gate.decision("home")) == (CHALLENGE, FREE)
    gate.pauses.start("phone", gate.codes.pid(PHONE), HOUR, PHONE.masked)
    before = gate.state()
    assert gate.decision("home", PHONE) == PAUSED
    assert gate.state() == before, "the gate was charged first, and got it back"
    caller = replace(gate.caller(), device_made_at=gate.now() - 60_000)
    assert gate.store.issue(SendRequest(PHONE), caller, gate.codes.propose(PHONE))


@pytest.mark.parametrize("solved", [False, True])
def test_a_send_that_the_phone_refuses_leaves_the_gate_as_it_was(gate: ClusterGate, *, solved: bool) -> None:
    if solved:
        gate.decisions(6)
    for network in ("a", "b", "c"):
        assert gate.decision(network, PHONE) == FREE
    pool, used = gate.state()[1:]
    with pytest.raises(TooManyOtpRequests):
        gate.send("home", PHONE, solved=solved)
    assert gate.state() == (0 if solved else 6, pool, used)
    assert gate.run("HGET", keys.gate_network("home"), "solved") in (None, b"")


def charged(gate: ClusterGate, phone: PhoneNumber, *, solved: bool = False) -> None:
    """A send from home that is answered 503."""
    solution = Solution("a solution", gate.now() + 120_000, 0) if solved else None
    with pytest.raises(StoreUnavailable):
        gate.store.issue(SendRequest(phone), gate.caller(), gate.codes.propose(phone), solution=solution)


@pytest.mark.parametrize("solved", [False, True])
def test_a_send_that_was_answered_503_gets_its_charge_back_once(gate: ClusterGate, *, solved: bool) -> None:
    gate.decisions(6 if solved else 1)
    before = gate.state()
    gate.losing.lost_calls = ("issue",)
    charged(gate, PHONE, solved=solved)
    assert gate.state() != before
    gate.losing.lost_calls = ()
    for batch in ("one", "one", "another"):
        gate.give_back_unused(batch)
        assert gate.state() == before
    assert gate.run("HGET", keys.gate_network("home"), "solved") in (None, b"")


def test_a_send_that_ran_although_it_was_answered_503_keeps_its_charge_for_the_login(
    gate: ClusterGate,
) -> None:
    gate.decisions(2)
    first = gate.send("home", PHONE)
    assert isinstance(first, Issued)
    gate.losing.lost_replies = ("issue",)
    charged(gate, PHONE)
    gate.losing.lost_replies = ()
    before = gate.state()
    gate.give_back_unused()
    assert gate.state() == before
    # The code is the same, so the message of the first send has it. The login gives one credit back. It is
    # the first login of the day, so it earns one more.
    gate.give_back(gate.earn(PHONE, first))
    assert gate.state()[0] == pytest.approx(before[0] + 2, abs=0.1), (
        "one for the send, one for the first login"
    )
    gate.give_back_unused("later")
    assert gate.state()[0] == pytest.approx(before[0] + 2, abs=0.1)


@pytest.mark.parametrize("kind", ["free", "solved", "foreign"])
def test_a_gate_whose_reply_was_lost_gets_its_charge_back_once(gate: ClusterGate, kind: str) -> None:
    gate.decisions(6 if kind == "solved" else 1)
    phone = gate.phone("+4915112") if kind == "foreign" else PHONE
    before = gate.state()
    gate.losing.lost_replies = ("gate",)
    charged(gate, phone, solved=kind == "solved")
    assert gate.state() != before
    gate.losing.lost_replies = ()
    for batch in ("one", "one", "another"):
        gate.give_back_unused(batch)
        assert gate.state() == before
    if kind == "foreign":
        assert gate.level(keys.gate_prefix("+49151")) == pytest.approx(40, abs=0.1)


def test_a_gate_that_runs_after_the_charge_was_given_back_takes_nothing(gate: ClusterGate) -> None:
    gate.decisions(1)
    before = gate.state()
    gate.losing.lost_calls = ("gate",)
    charged(gate, PHONE)
    call = gate.scripts.calls[-1]
    assert call[0] == "gate"
    gate.losing.lost_calls = ()
    gate.give_back_unused()
    assert RecordedScripts(gate._client).run(*call, 1)[0] == "late"
    assert gate.state() == before


def test_what_cannot_be_given_back_at_once_is_given_back_in_the_background(gate: ClusterGate) -> None:
    issued = gate.send()
    phone = gate.last_phone
    assert isinstance(issued, Issued)
    for network in ("a", "b", "c"):
        assert gate.decision(network, PHONE) == FREE
    gate.losing.lost_calls = ("give_back",)
    with pytest.raises(TooManyOtpRequests):
        gate.send("home", PHONE)
    gate.withdraw(issued, phone=phone)
    assert gate.of_network() == pytest.approx(4, abs=0.1)
    gate.losing.lost_calls = ()
    for _ in range(2):
        gate.give_back_unused()
        assert gate.of_network() == pytest.approx(6, abs=0.1)


def test_a_charge_that_is_older_than_the_log_of_the_phone_is_not_given_back(gate: ClusterGate) -> None:
    gate.decisions(2)
    gate.losing.lost_calls = ("issue",)
    charged(gate, PHONE)
    gate.losing.lost_calls = ()
    before = gate.state()
    gate.reported[:] = [replace(one, began=one.began - gate.policy.lifetime) for one in gate.reported]
    gate.give_back_unused()
    assert gate.state() == before


def test_a_stopped_node_of_the_phone_costs_no_credit(gate: ClusterGate) -> None:
    phone = gate.elsewhere()
    gate.decisions(1)
    before = gate.state()
    node = gate.node_of(gate.keys(phone).sends)
    node.pause()
    try:
        charged(gate, phone)
        (unused,) = gate.reported
        assert unused.unsure
        with pytest.raises(StoreUnavailable):
            gate.give_back_unused()
        assert gate.state()[:2] == pytest.approx((before[0] - 1, before[1] - 1), abs=0.1)
    finally:
        node.resume()
    # The calls that waited in buffers have run now, without an effect.
    wait_until(lambda: gate.run("EXISTS", gate.keys(phone).sends) == 0, "the node")
    gate.give_back_unused()
    assert gate.state() == before
    assert gate.run("LRANGE", gate.keys(phone).sends, 0, -1) == []


def test_the_gateway_gives_the_charge_of_a_503_back_within_seconds(
    nodes: list[RedisServer], gate: ClusterGate, emulator: KavenegarEmulator
) -> None:
    phone = gate.elsewhere()
    node = gate.node_of(gate.keys(phone).sends)
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": f"redis+cluster://127.0.0.1:{nodes[0].port}",
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": "10000/minute",
        "OTP_SEND_BUDGET": "40/hour",
        "OTP_GATE": "on",
    }

    def credit() -> float:
        return gate.of_pool("new")

    with Gateway(environment, workers=1) as gateway:
        # The keys of the address can be on any node. The send reaches the gate only if the limiter answers.
        assert gateway.post(SEND, {"phone_number": str(gate.elsewhere().e164)}).status_code == 200
        before = credit()
        timer = threading.Timer(1.5, node.resume)
        node.pause()
        timer.start()
        try:
            reply = gateway.post(SEND, {"phone_number": phone.e164})
        finally:
            timer.join()
        assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
        deadline = time.monotonic() + 20
        while credit() < before - 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert emulator.messages_to(phone.e164) == []
