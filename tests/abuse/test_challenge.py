"""A challenge is for one phone and two minutes, and a client cannot make it cheaper."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import altcha
import pytest

from otp_gateway.abuse.challenge import COST, HARDEST, LIFETIME_MS, MAX_PAYLOAD, STEPS, Challenges
from otp_gateway.codes import Codes
from otp_gateway.errors import InvalidChallenge
from tests.conftest import SECRET_KEY
from tests.support.challenges import easy_challenge, encoded, solved

CODES = Codes(SECRET_KEY, 6)
CHALLENGES = Challenges(CODES)
PID, OTHER_PID = "p" * 22, "q" * 22
NOW = 1_795_622_400_000


@pytest.fixture(scope="module")
def easy() -> dict[str, Any]:
    """A solved challenge, which took little work."""
    return solved(easy_challenge(PID, NOW, step=1))


def refusal(payload: str, pid: str = PID, now_ms: int = NOW) -> InvalidChallenge:
    with pytest.raises(InvalidChallenge) as caught:
        CHALLENGES.check(payload, pid, now_ms)
    return caught.value


def step_of(challenge: dict[str, Any]) -> int:
    return STEPS.index(challenge["parameters"]["data"]["attempts"])


@contextmanager
def counted_iterations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The iterations of PBKDF2 in the block."""
    derive, iterations = hashlib.pbkdf2_hmac, list[int]()

    def counting(name: str, password: bytes, salt: bytes, rounds: int, *rest: Any) -> bytes:
        iterations.append(rounds)
        return derive(name, password, salt, rounds, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "pbkdf2_hmac", counting)
        yield iterations


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_solved_challenge_is_accepted_for_its_phone(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otp_gateway.abuse.challenge.secrets.randbelow", lambda limit: limit // 400)
    challenge = CHALLENGES.create(PID, step, NOW)

    solution = CHALLENGES.check(encoded(solved(challenge)), PID, NOW + 1_000)

    assert solution.id == challenge["parameters"]["nonce"]
    assert solution.step == step_of(challenge) == step


def test_a_step_beyond_the_hardest_is_the_hardest() -> None:
    assert step_of(CHALLENGES.create(PID, HARDEST + 5, NOW)) == HARDEST


def test_the_work_of_a_challenge_is_spread_evenly_up_to_the_limit_of_its_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []

    def drawn(limit: int) -> int:
        limits.append(limit)
        return 0

    monkeypatch.setattr("otp_gateway.abuse.challenge.secrets.randbelow", drawn)
    for step in range(len(STEPS)):
        CHALLENGES.create(PID, step, NOW)

    assert limits == list(STEPS)
    assert all(harder == 2 * easier for easier, harder in itertools.pairwise(STEPS))


def test_altcha_itself_accepts_the_solution(easy: dict[str, Any]) -> None:
    later = json.loads(json.dumps(easy["challenge"]))
    signing_key, solution_key = CODES.challenge_keys(PID)
    # The library compares the expiry with this machine's clock.
    later["parameters"]["expiresAt"] = int(time.time()) + 60
    fresh = CHALLENGES.create(PID, 0, int(time.time() * 1000))
    payload = encoded(solved(fresh))

    assert altcha.verify_solution(payload, signing_key, hmac_key_secret=solution_key).verified
    assert altcha.verify_solution(payload, signing_key).verified
    assert not altcha.verify_solution(encoded(easy | {"challenge": later}), signing_key).verified


def test_a_challenge_shows_nothing_about_its_phone() -> None:
    text = json.dumps(CHALLENGES.create(PID, 0, NOW))
    assert PID not in text
    assert set(json.loads(text)["parameters"]["data"]) == {"attempts"}


def test_the_solution_of_another_phone_is_refused(easy: dict[str, Any]) -> None:
    assert refusal(encoded(easy), OTHER_PID).reason == "unsigned"


def test_a_solution_under_another_secret_is_refused(easy: dict[str, Any]) -> None:
    with pytest.raises(InvalidChallenge):
        Challenges(Codes(SECRET_KEY[::-1], 6)).check(encoded(easy), PID, NOW)


def test_a_challenge_is_valid_for_two_minutes_of_the_given_clock(easy: dict[str, Any]) -> None:
    payload = encoded(easy)
    end = CHALLENGES.check(payload, PID, NOW).expires_at_ms

    assert NOW + LIFETIME_MS - 1_000 < end <= NOW + LIFETIME_MS
    CHALLENGES.check(payload, PID, end - 1)
    assert refusal(payload, now_ms=end).reason == "expired"


def test_a_refusal_has_a_new_challenge_of_the_same_difficulty(easy: dict[str, Any]) -> None:
    error = refusal(encoded(easy), now_ms=NOW + LIFETIME_MS)

    assert step_of(error.challenge) == step_of(easy["challenge"]) == 1
    assert error.data == {"challenge": error.challenge}
    assert error.challenge["parameters"]["nonce"] != easy["challenge"]["parameters"]["nonce"]


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "cost": lambda p: p.update(cost=1),
    "enormous cost": lambda p: p.update(cost=2**31 - 1),
    "endless cost": lambda p: p.update(cost=float("inf")),
    "expiry": lambda p: p.update(expiresAt=p["expiresAt"] + 1),
    "prefix": lambda p: p.update(keyPrefix=""),
    "long key": lambda p: p.update(keyLength=2**30),
    "key signature": lambda p: p.update(keySignature="00" * 32),
    "algorithm": lambda p: p.update(algorithm="SCRYPT", memoryCost=2**30),
    "attempts": lambda p: p.update(data={"attempts": 1}),
    "no data": lambda p: p.pop("data"),
    "nonce": lambda p: p.update(nonce="00" * 16),
    "another member": lambda p: p.update(more=1),
    "deep": lambda p: p.update(data=json.loads("[" * 400 + "]" * 400)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_parameter_is_refused_before_any_key_is_derived(
    easy: dict[str, Any], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(json.dumps(easy))
    CHANGES[change](document["challenge"]["parameters"])

    with counted_iterations(monkeypatch) as iterations:
        error = refusal(encoded(document))

    assert error.reason == "unsigned"
    # The only key is that of the new challenge, which is the hardest: a malformed solution gets no easier
    # one.
    assert iterations == [COST]
    assert step_of(error.challenge) == HARDEST


@pytest.mark.parametrize("signature", ["", "00" * 32, "é" * 64, "\ud800", None, 5, ["a"], {}])
def test_a_wrong_signature_is_refused(easy: dict[str, Any], signature: object) -> None:
    document = json.loads(json.dumps(easy))
    document["challenge"]["signature"] = signature
    assert refusal(encoded(document)).reason == "unsigned"


@pytest.mark.parametrize("key", ["", "00" * 32, "0" * 64, "ff" * 500, "zz", "é", "\ud800", None, 5, [], {}])
def test_a_wrong_key_is_refused_whatever_its_type(easy: dict[str, Any], key: object) -> None:
    document = json.loads(json.dumps(easy))
    document["solution"]["derivedKey"] = key
    assert refusal(encoded(document)).reason in ("unsolved", "unreadable")


def test_the_prefix_of_the_key_does_not_solve_the_challenge(easy: dict[str, Any]) -> None:
    document = json.loads(json.dumps(easy))
    prefix = document["challenge"]["parameters"]["keyPrefix"]
    for guess in (prefix, prefix + "00" * 16, prefix * 2):
        document["solution"]["derivedKey"] = guess
        assert refusal(encoded(document)).reason == "unsolved"


def test_members_that_clients_add_do_not_matter(easy: dict[str, Any]) -> None:
    document = json.loads(json.dumps(easy))
    document["challenge"]["parameters"] |= {"memoryCost": None, "parallelism": None}
    document["challenge"]["codeChallenge"] = None
    document["solution"]["time"] = 123.4
    document["test"] = False
    # In another order, and with spaces.
    text = json.dumps(json.loads(json.dumps(document, sort_keys=True)), indent=2)

    assert CHALLENGES.check(base64.b64encode(text.encode()).decode(), PID, NOW).step == 1


def raw(data: bytes) -> str:
    return base64.b64encode(data).decode()


HOSTILE = {
    "empty": "",
    "not base64": "a solution?",
    "other digits": "۱۲۳۴",
    "a lone surrogate": "\ud800",
    "a zero": "\0",
    "not UTF-8": raw(b'\xff\xfe"'),
    "not JSON": raw(b"{"),
    "a number": raw(b"1"),
    "a list": raw(b"[]"),
    "null": raw(b"null"),
    "no members": raw(b"{}"),
    "a challenge that is a text": raw(b'{"challenge": "x", "solution": {}}'),
    "parameters that are a list": raw(b'{"challenge": {"parameters": []}, "solution": {}}'),
    "not a number": raw(b'{"challenge": {"parameters": {"cost": NaN}}}'),
    "deep lists": raw(b"[" * 1500),
    "deep objects": raw(b'{"challenge":' * 110 + b"1" + b"}" * 110),
    "many digits": raw(b"1" * 1500),
    "a huge exponent": raw(b"1e99999999"),
    "too long": "A" * (MAX_PAYLOAD + 4),
    "as long as a body can be": "A" * 8_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_payload_is_refused_for_the_price_of_a_new_challenge(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_iterations(monkeypatch) as iterations:
        assert refusal(HOSTILE[case]).reason == "unreadable"
    assert iterations == [COST]


def test_the_check_of_a_solution_derives_no_key(
    easy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_iterations(monkeypatch) as iterations:
        CHALLENGES.check(encoded(easy), PID, NOW)
    assert iterations == []


def test_no_payload_takes_more_than_a_mebibyte_or_more_time_than_two_keys(easy: dict[str, Any]) -> None:
    challenges = Challenges(CODES)
    # The new challenge costs one key in each case; the tests above count it.
    challenges.create = lambda *_: {}  # type: ignore[method-assign]

    def check(payload: str) -> None:
        with suppress(InvalidChallenge):
            challenges.check(payload, PID, NOW)

    payloads = [encoded(easy), *HOSTILE.values()]
    one_key = fastest(lambda: hashlib.pbkdf2_hmac("sha256", b"p" * 20, b"s" * 16, COST))
    for payload in payloads:
        tracemalloc.start()
        check(payload)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**20
        assert fastest(lambda payload=payload: check(payload)) < 2 * one_key  # type: ignore[misc]  # mypy cannot infer a lambda's default


def fastest(call: Callable[[], object]) -> float:
    """The least processor time of some calls."""
    times = []
    for _ in range(20):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)
