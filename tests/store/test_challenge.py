"""The solution of a challenge is used up by exactly one send, and only if that send goes out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otp_gateway.errors import TooManyAttempts, TooManyOtpRequests
from otp_gateway.model import Issued, PhoneNumber, SendRequest, Solution
from otp_gateway.store.client import RedisClient
from otp_gateway.store.issue_reply import UnusableSolution
from tests.store.bench import OTHER_PHONE, PHONE, Bench, settle

LIFETIME = 120_000


def solution(bench: Bench, name: str = "first", *, valid_ms: int = LIFETIME) -> Solution:
    return Solution(name, bench.now() + valid_ms, 0)


def issue(
    bench: Bench, found: Solution | None, *, phone: PhoneNumber = PHONE, client: str = "home"
) -> Issued:
    issued = bench.store.issue(
        SendRequest(phone), bench.caller(client), bench.codes.propose(phone), solution=found
    )
    assert isinstance(issued, Issued)
    return issued


def unusable(bench: Bench, found: Solution) -> str:
    with pytest.raises(UnusableSolution) as caught:
        issue(bench, found)
    assert caught.value.solution == found
    return caught.value.reason


def test_a_solution_is_good_for_one_send(bench: Bench) -> None:
    found = solution(bench)
    issue(bench, found)
    before = bench.snapshot()

    assert unusable(bench, found) == "used"
    bench.assert_same(before)
    issue(bench, solution(bench, "second"))


def test_a_solution_is_good_until_it_expires_and_not_longer(bench: Bench) -> None:
    before = bench.snapshot()

    assert unusable(bench, solution(bench, valid_ms=0)) == "expired"
    assert unusable(bench, solution(bench, valid_ms=-1)) == "expired"
    bench.assert_same(before)
    issue(bench, solution(bench, valid_ms=1_000))


def test_a_used_solution_is_remembered_for_as_long_as_it_could_be_accepted(bench: Bench) -> None:
    found = solution(bench)
    issue(bench, found)

    name = bench.keys().challenge(found.id)
    left = bench.run("PTTL", name)
    assert found.expires_at_ms - bench.now() <= left <= LIFETIME + 1_000
    # At any time before, either the key or the expiry makes the script refuse the solution.
    bench.run("PEXPIRE", name, 1)
    settle()
    assert unusable(bench, Solution(found.id, bench.now(), 0)) == "expired"


def test_a_withdrawn_send_gives_the_solution_back(bench: Bench) -> None:
    found = solution(bench)
    before = bench.snapshot()

    bench.withdraw(issue(bench, found))
    bench.assert_same(before)
    issue(bench, found)


def test_a_late_withdrawal_does_not_free_the_solution_for_a_third_send(bench: Bench) -> None:
    found = solution(bench)
    bench.withdraw(issue(bench, found))
    withdrawal = bench.scripts.calls[-1]
    issue(bench, found)

    # A lost attempt of the withdrawal runs after the second send.
    bench.replay(withdrawal)

    assert unusable(bench, found) == "used"


def test_the_withdrawal_of_another_send_leaves_the_solution_used(bench: Bench) -> None:
    found = solution(bench)
    issue(bench, found)

    bench.withdraw(issue(bench, None))
    bench.withdraw(issue(bench, solution(bench, "second")))

    assert unusable(bench, found) == "used"


def test_a_lost_reply_does_not_make_the_same_send_a_second_use(bench: Bench) -> None:
    found = solution(bench)
    issued = issue(bench, found)

    tag, _, _, _, nonce, *_ = bench.replay()

    assert (tag, nonce.decode()) == ("issued", issued.nonce)


def full_windows(bench: Bench) -> None:
    for _ in range(3):
        issue(bench, None)


def used_up_failures(bench: Bench) -> None:
    issue(bench, None)
    for _ in range(4):
        while bench.fail():
            pass
        bench.advance(130)
        issue(bench, None)
        if bench.run("HGET", bench.keys().tries, "failures:home").startswith(b"9"):
            bench.fail()
            break


@pytest.mark.parametrize(
    ("story", "refusal"), [(full_windows, TooManyOtpRequests), (used_up_failures, TooManyAttempts)]
)
def test_a_refused_send_does_not_use_the_solution(
    bench: Bench, story: Callable[[Bench], None], refusal: type[Exception]
) -> None:
    story(bench)
    found = solution(bench)
    with pytest.raises(refusal):
        issue(bench, found)

    assert not bench.run("EXISTS", bench.keys().challenge(found.id))
    # The phone's refusal comes first, also if the solution is used.
    bench.run("SET", bench.keys().challenge(found.id), "another send", "PX", LIFETIME)
    with pytest.raises(refusal):
        issue(bench, found)


def test_the_same_id_is_another_solution_for_another_phone(bench: Bench) -> None:
    issue(bench, solution(bench))
    issue(bench, solution(bench), phone=OTHER_PHONE)


@pytest.mark.parametrize("redis_client", ["redis"], indirect=True)
def test_a_used_solution_takes_few_bytes(redis_client: RedisClient) -> None:
    bench = Bench(redis_client)
    found = solution(bench, "d" * 32)
    issue(bench, found)
    assert bench.run("MEMORY", "USAGE", bench.keys().challenge(found.id)) <= 200
