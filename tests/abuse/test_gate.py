"""The send gate without the HTTP API, on real Redis and on the embedded store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from otp_gateway.credit import Decision, Earned, GateMode
from otp_gateway.events import Batch, LoginEvent
from otp_gateway.model import GateRules, Issued, PhoneNumber, SendRequest, Solution, Window
from otp_gateway.store import keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.gate import GateRefusal
from otp_gateway.store.gate_figures import GateFigures
from otp_gateway.store.gate_writer import CreditWriter
from otp_gateway.store.pauses import Pauses
from otp_gateway.store.usage import UsageStore
from tests.store.bench import DAY, PHONE, Bench, settle

HOUR = 3600
GERMAN = "+4915112"


class Gate(Bench):
    """A store with a gate, and methods that make sends in one line each."""

    def __init__(
        self,
        client: RedisClient,
        mode: GateMode = "on",
        credit: int = 60,
        budget: str = "",
        *,
        direct: RedisClient | None = None,
    ) -> None:
        windows = tuple(
            Window(int(limit), int(seconds))
            for limit, seconds in (part.split("/") for part in budget.split(";") if part)
        )
        self.rules = GateRules(mode, credit, windows)
        super().__init__(client, direct, gate=self.rules)
        self._numbers = count(1)
        self.warnings: list[int] = []
        self._writer = CreditWriter(self.gate, self.warnings.append)
        self.pauses = Pauses(client)
        self.figures = GateFigures(direct or client, UsageStore(client, self.scripts), self.rules)

    def phone(self, prefix: str = "+98912") -> PhoneNumber:
        """A phone that has had no send."""
        self.last_phone = PhoneNumber(f"{prefix}{next(self._numbers):07d}")
        return self.last_phone

    def send(
        self, network: str = "home", phone: PhoneNumber | None = None, *, solved: bool = False
    ) -> Issued | GateRefusal:
        """A send; raises the gate's refusal."""
        phone = phone or self.phone()
        solution = Solution(f"s{next(self._numbers)}", self.now() + 120_000, 0) if solved else None
        try:
            issued = self.store.issue(
                SendRequest(phone), self.caller(network), self.codes.propose(phone), solution=solution
            )
        except GateRefusal as refusal:
            return refusal
        assert isinstance(issued, Issued)
        return issued

    def decision(
        self, network: str = "home", phone: PhoneNumber | None = None, *, solved: bool = False
    ) -> str:
        """``free``, or ``refused: challenge``."""
        found = self.send(network, phone, solved=solved)
        return f"refused: {found.decision}" if isinstance(found, GateRefusal) else str(found.gate)

    def decisions(
        self, number: int, network: Callable[[], str] | str = "home", *, solved: bool = False
    ) -> list[str]:
        """So many sends, each to another phone."""
        return [
            self.decision(network if isinstance(network, str) else network(), solved=solved)
            for _ in range(number)
        ]

    def sign_in(self, network: str = "home", phone: PhoneNumber | None = None, at: str = "") -> Earned:
        """A send and its login, from the network ``at`` or the same one. The credit is given back at once."""
        phone = phone or self.phone()
        issued = self.send(network, phone)
        if isinstance(issued, GateRefusal):
            issued = self.send(network, phone, solved=True)
        assert isinstance(issued, Issued)
        earned = self.earn(phone, issued, at or network)
        self.give_back(earned)
        return earned

    def earn(self, phone: PhoneNumber, issued: Issued, network: str = "home") -> Earned:
        """A login with the code of the send."""
        login = self.logins.verify(phone, self.code(issued, phone=phone), self.caller(network))
        assert login.earned
        return login.earned

    def give_back(self, *earned: Earned, batch: str = "") -> None:
        """As the recorder does it: give back the credit of these logins."""
        events = [
            LoginEvent(id="", pid="", masked="", prefix="", client=one.network, at=0, earned=one)
            for one in earned
        ]
        self.write(Batch(batch or f"batch{next(self._numbers)}", events, {}))

    def write(self, batch: Batch) -> None:
        """As the recorder does it: write this batch."""
        self._writer.write(batch)

    def level(self, key: str, field: str = "") -> float:
        """The credit of a bucket, as it was last written."""
        text = self.run("HGET", key, field) if field else self.run("GET", key)
        return float(text.split(b":")[0]) if text else -1.0

    def of_network(self, network: str = "home") -> float:
        """The same for a network."""
        return self.level(keys.gate_network(network), "credit")

    def of_pool(self, pool: str) -> float:
        """The same for all new networks (``new``), or for all others (``known``)."""
        return self.level(keys.GATE_SHARED, pool)


@pytest.fixture
def gate(redis_client: RedisClient) -> Gate:
    """The gate with the contract's numbers."""
    return Gate(redis_client)


def each_new() -> Callable[[], str]:
    """A network that no earlier send came from, at each call."""
    numbers = count()
    return lambda: f"net{next(numbers)}"


FREE, CHALLENGE, PAUSED = "free", "refused: challenge", "refused: paused"


def test_a_network_has_six_credits_and_two_more_each_hour(gate: Gate) -> None:
    assert gate.decisions(8) == [FREE] * 6 + [CHALLENGE] * 2
    gate.advance(HOUR)
    assert gate.decisions(3) == [FREE] * 2 + [CHALLENGE]
    gate.advance(DAY)
    assert gate.decisions(7) == [FREE] * 6 + [CHALLENGE]


def test_all_new_networks_share_sixty_credits(gate: Gate) -> None:
    network = each_new()
    assert gate.decisions(61, network) == [FREE] * 60 + [CHALLENGE]
    gate.advance(HOUR)
    assert gate.decisions(3, network) == [FREE] * 2 + [CHALLENGE]


def test_networks_that_a_user_has_signed_in_from_have_sixty_of_their_own(gate: Gate) -> None:
    gate.sign_in("home")
    assert gate.decisions(62, each_new())[-1] == CHALLENGE
    assert gate.decision("home") == FREE
    gate.advance(7 * DAY + 1)
    gate.decisions(61, each_new())
    assert gate.decision("home") == CHALLENGE, "after a week it is a new network again"


def test_the_setting_is_the_credit_of_each_pool(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, credit=2)
    assert gate.decisions(3, each_new()) == [FREE] * 2 + [CHALLENGE]


def test_a_large_pool_is_not_cut_to_what_a_small_one_may_earn(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, credit=1_000)
    assert gate.decisions(300, each_new()) == [FREE] * 300


def test_a_foreign_prefix_has_forty_credits_for_new_networks(gate: Gate) -> None:
    network = each_new()
    assert [gate.decision(network(), gate.phone(GERMAN)) for _ in range(41)] == [FREE] * 40 + [CHALLENGE]
    assert gate.decision(network(), gate.phone("+4917612")) == FREE, "another prefix"
    assert gate.decision(network()) == FREE, "the operator's own region"
    gate.sign_in("home")
    assert gate.decision("home", gate.phone(GERMAN)) == FREE, "a network that is not new"


def test_a_refused_send_changes_nothing_and_keeps_the_code_of_the_owner(gate: Gate) -> None:
    issued = gate.send("owner", PHONE)
    assert isinstance(issued, Issued)
    gate.decisions(6, "stranger")
    before = gate.snapshot()
    settle()
    assert gate.decision("stranger", PHONE) == CHALLENGE
    gate.assert_same(before)
    assert gate.earn(PHONE, issued, "owner")


def test_with_a_solved_challenge_a_network_has_three_sends_a_day(gate: Gate) -> None:
    gate.decisions(6)
    assert gate.decisions(4, solved=True) == ["solved"] * 3 + [PAUSED]
    assert gate.decision() == CHALLENGE, "only with a solution is the network told more"
    gate.advance(DAY + 1)
    gate.decisions(6)
    assert gate.decisions(4, solved=True) == ["solved"] * 3 + [PAUSED]


@pytest.mark.parametrize(("logins", "solved"), [(1, 5), (4, 11), (6, 15), (8, 15)])
def test_logins_of_a_week_allow_two_more_each_up_to_fifteen(gate: Gate, logins: int, solved: int) -> None:
    for _ in range(logins):
        gate.sign_in("home")
    while gate.decision("home") == FREE:
        pass
    assert gate.decisions(solved + 1, solved=True) == ["solved"] * solved + [PAUSED]


def test_a_login_gives_the_credit_back_and_the_first_of_the_day_one_more(gate: Gate) -> None:
    phone = gate.phone()
    for _ in range(3):
        gate.send("home")
    before = gate.of_network(), gate.of_pool("new")
    earned = gate.sign_in("home", phone)
    assert (earned.first, earned.counts) == (True, True)
    assert (gate.of_network(), gate.of_pool("new")) == pytest.approx((before[0] + 1, before[1] + 1), abs=0.1)
    again = gate.sign_in("home", phone)
    assert again.first is False
    assert gate.of_network() == pytest.approx(before[0] + 1, abs=0.1)
    gate.advance(DAY + 1)
    assert gate.sign_in("home", phone).first is True


def test_a_login_gives_one_send_back_however_often_the_code_was_sent(gate: Gate) -> None:
    sends = [gate.send("home", PHONE) for _ in range(3)]
    assert isinstance(sends[0], Issued)
    before = gate.of_network()
    gate.give_back(gate.earn(PHONE, sends[0]))
    assert gate.of_network() == pytest.approx(before + 2, abs=0.1)


def test_a_login_gives_back_the_send_of_its_own_network(gate: Gate) -> None:
    own = gate.send("owner", PHONE)
    stranger = gate.send("stranger", PHONE)
    assert isinstance(own, Issued)
    assert isinstance(stranger, Issued)
    assert stranger.nonce == own.nonce
    assert ".owner." in gate.earn(PHONE, stranger, "owner").charge


def test_the_logins_of_a_phone_count_for_one_network_a_week(gate: Gate) -> None:
    phone = gate.phone()
    assert gate.sign_in("home", phone).counts
    assert not gate.sign_in("train", phone).counts
    assert gate.sign_in("home", phone).counts
    gate.advance(7 * DAY + 1)
    assert gate.sign_in("train", phone).counts


def test_a_repeated_batch_gives_nothing_twice(gate: Gate) -> None:
    phone = gate.phone()
    issued = gate.send("home", phone)
    assert isinstance(issued, Issued)
    earned = gate.earn(phone, issued)
    gate.give_back(earned, batch="the same")
    before = gate.snapshot()
    gate.give_back(earned, batch="the same")
    gate.assert_same(before)


def test_a_repeated_login_earns_nothing(gate: Gate) -> None:
    issued = gate.send("home", PHONE)
    assert isinstance(issued, Issued)
    gate.earn(PHONE, issued)
    assert len(gate.replay()) == 5


def test_a_withdrawn_send_leaves_the_gate_as_it_was(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, budget="50/3600;90/86400")
    gate.decisions(5, "home")
    for phone, solved in ((PHONE, False), (gate.phone(GERMAN), False), (gate.phone(), True)):
        network = f"net-of-{phone.e164}"
        if solved:
            gate.decisions(6, network)
        issued = gate.send(network, phone, solved=solved)
        assert isinstance(issued, Issued)
        before = gate.figures.budget()
        gate.withdraw(issued, gate.caller(network), phone=phone)
        assert [use.sends for use in gate.figures.budget()] == [use.sends - 1 for use in before]
        assert gate.of_network(network) == pytest.approx(0 if solved else 6, abs=0.1)
        assert gate.run("HGET", keys.gate_network(network), "solved") in (None, b"")


def test_a_withdrawal_after_the_login_gives_nothing_twice(gate: Gate) -> None:
    first, second = gate.send("home", PHONE), gate.send("home", PHONE)
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    gate.give_back(gate.earn(PHONE, second))
    before = gate.of_network()
    gate.withdraw(second)
    assert gate.of_network() == before
    gate.withdraw(first)
    assert gate.of_network() == pytest.approx(before + 1, abs=0.1)


def test_a_lost_reply_charges_once(gate: Gate) -> None:
    issued = gate.send("home", PHONE)
    assert isinstance(issued, Issued)
    before = gate.snapshot()
    for _ in range(3):
        assert gate.replay()[0] == "issued"
    gate.assert_same(before)
    gate.withdraw(issued)
    after = gate.snapshot()
    assert gate.replay()[0] == "withdrawn"
    gate.assert_same(after)


def test_earned_credit_of_a_pool_decays_within_an_hour(gate: Gate) -> None:
    for number in range(300):
        gate.sign_in(f"net{number}")
    assert gate.of_pool("new") == pytest.approx(240, abs=0.5)
    gate.advance(HOUR // 2)
    gate.send("other")
    assert gate.of_pool("new") == pytest.approx(149, abs=1)
    gate.advance(HOUR // 2)
    gate.send("other")
    assert gate.of_pool("new") == pytest.approx(59, abs=1)


def test_a_network_may_earn_up_to_forty(gate: Gate) -> None:
    for _ in range(60):
        gate.sign_in("home")
    assert gate.of_network("home") == pytest.approx(40, abs=0.1)


def test_observe_refuses_nothing_and_says_what_on_would_do(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, "observe")
    assert gate.decisions(8) == [FREE] * 6 + ["challenge"] * 2
    assert gate.of_network() == pytest.approx(0, abs=0.1), "a send that it would refuse takes no credit"


def test_a_gate_that_is_off_keeps_nothing(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, "off", budget="2/3600")
    assert gate.decisions(30, each_new()) == ["None"] * 30
    assert not [key for key in gate.run("KEYS", "*") if key.startswith(b"gate:")]
    issued = gate.send("home", PHONE)
    assert isinstance(issued, Issued)
    assert gate.logins.verify(PHONE, gate.code(issued), gate.caller()).earned is None


@pytest.mark.parametrize("mode", ["observe", "on"])
def test_strangers_have_seventy_percent_of_the_budget(redis_client: RedisClient, mode: GateMode) -> None:
    gate = Gate(redis_client, mode, budget="11/3600")
    assert gate.decisions(8, each_new()) == [FREE] * 7 + [PAUSED]
    refusal = gate.send("home")
    assert isinstance(refusal, GateRefusal)
    assert refusal.reason == "budget"
    assert gate.decision("home", solved=True) == PAUSED
    gate.advance(HOUR + HOUR // 24)
    assert gate.decision("home") == FREE


def test_the_budget_reports_half_and_seventy_percent_once_each(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, budget="20/3600;1000/86400")
    reached = []
    network = each_new()
    for _ in range(14):
        issued = gate.send(network())
        assert isinstance(issued, Issued)
        reached.append(issued.budget_reached)
    assert reached == [0] * 9 + [50] + [0] * 3 + [70]
    assert [use.sends for use in gate.figures.budget()] == [14, 14]


@pytest.mark.parametrize("span", [60, HOUR, DAY])
def test_no_window_of_the_budget_ever_holds_too_many_sends(redis_client: RedisClient, span: int) -> None:
    gate = Gate(redis_client, budget=f"10/{span}")
    network = each_new()
    sent: list[float] = []
    now = 0.0
    for _ in range(60):
        if gate.decision(network(), solved=True) in (FREE, "solved"):
            sent.append(now)
        gate.advance(span / 31)
        now += span / 31
    assert len(sent) > 10
    for moment in sent:
        assert sum(moment <= other < moment + span for other in sent) <= 7


@pytest.mark.parametrize("mode", ["observe", "on", "off"])
def test_strangers_of_a_paused_prefix_or_network_get_a_challenge(
    redis_client: RedisClient, mode: GateMode
) -> None:
    gate = Gate(redis_client, mode)
    gate.pauses.start("prefix", "+98912", HOUR)
    gate.pauses.start("network", "work", HOUR)
    german = gate.phone(GERMAN)
    assert gate.decision("home") == CHALLENGE
    assert gate.decision("work", german) == CHALLENGE
    assert gate.decision("home", solved=True) == "solved"
    assert gate.decision("work", german, solved=True) == "solved"
    assert gate.decision("home", gate.phone(GERMAN)) in (FREE, "None")
    assert gate.decisions(3, solved=True) == ["solved"] * 2 + [PAUSED], "the allowance of the network holds"
    gate.advance(HOUR)
    assert gate.decision("train") in (FREE, "None")


@pytest.mark.parametrize("mode", ["observe", "on", "off"])
def test_a_muted_phone_gets_no_message_that_a_stranger_requests(
    redis_client: RedisClient, mode: GateMode
) -> None:
    gate = Gate(redis_client, mode)
    gate.pauses.start("phone", gate.codes.pid(PHONE), HOUR, PHONE.masked)
    for solved in (False, True):
        refusal = gate.send("home", PHONE, solved=solved)
        assert isinstance(refusal, GateRefusal)
        assert (refusal.decision, refusal.reason) == ("paused", "muted")
    assert gate.decision("home") in (FREE, "None")
    gate.advance(HOUR)
    assert gate.decision("home", PHONE) in (FREE, "None")


def test_pauses_are_listed_ended_and_restored(gate: Gate) -> None:
    pid = gate.codes.pid(PHONE)
    prefix = gate.pauses.start("prefix", "+98912", 2 * HOUR)
    mute = gate.pauses.start("phone", pid, HOUR, PHONE.masked)
    assert gate.pauses.all() == [mute, prefix]
    assert gate.pauses.end("phone", pid) == mute
    assert gate.pauses.end("phone", pid) is None
    assert gate.pauses.end("prefix", "+98912") == prefix
    assert gate.pauses.all() == []
    assert gate.decision("home", PHONE) == FREE
    assert gate.pauses.restore(mute)
    assert gate.pauses.restore(prefix)
    assert gate.pauses.all() == [mute, prefix]
    assert gate.decision("home", PHONE) == PAUSED
    gate.snapshot()
    gate.advance(HOUR)
    # Both are an hour older now, as all data in Redis.
    assert gate.pauses.restore(replace(mute, until=mute.until - 1000 * HOUR)) is False
    assert [pause.target for pause in gate.pauses.all()] == ["+98912"]


def test_a_pause_comes_before_the_budget_and_a_full_window_before_both(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, budget="2/3600")
    assert gate.decision("home") == FREE
    gate.pauses.start("prefix", "+98912", HOUR)
    assert gate.decision("home") == CHALLENGE
    assert gate.decision("home", solved=True) == PAUSED


@pytest.mark.parametrize(("sends", "step"), [(5, 0), (6, 1)])
def test_the_challenge_of_a_network_that_owes_credit_is_harder(gate: Gate, sends: int, step: int) -> None:
    gate.decisions(sends)
    gate.pauses.start("prefix", "+98912", HOUR)
    refusal = gate.send("home")
    assert isinstance(refusal, GateRefusal)
    assert refusal.step == step
    if sends == 6:
        gate.decisions(3, solved=True)
        refusal = gate.send("home")
        assert isinstance(refusal, GateRefusal)
        assert refusal.step == 2


def test_decisions_of_the_last_day_are_counted_by_mode(redis_client: RedisClient) -> None:
    gate = Gate(redis_client, "observe")
    usage = UsageStore(redis_client, gate.scripts)
    usage.write(Batch("one", [], {"gate observe free": 3, "gate observe challenge": 2, "gate on paused": 7}))
    found: dict[Decision, int] = dict(gate.figures.decisions())
    assert found == {"free": 3, "challenge": 2, "solved": 0, "paused": 0}
