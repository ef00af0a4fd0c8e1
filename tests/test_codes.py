"""Codes are uniform digits, derived from secret, phone and nonce. Ids do not reveal phone or network."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from otp_gateway.codes import REFERENCE_BITS, Codes, random_id
from otp_gateway.model import Issued, PhoneNumber, ProposedCode, Session

SECRET = "a secret of the tests that has forty or so characters"
PHONE = PhoneNumber("+989123456789")
OTHER_PHONE = PhoneNumber("+989123456780")
CODES = Codes(SECRET, 6)
OTHER_CODES = Codes(SECRET + "!", 6)

DRAWS = [CODES.derive(PHONE, f"nonce-{n}") for n in range(50_000)]


def chi_square(observed: Counter[str], cells: int) -> float:
    expected = observed.total() / cells
    unseen = (cells - len(observed)) * expected
    return unseen + sum((count - expected) ** 2 / expected for count in observed.values())


def test_a_code_is_six_digits_leading_zeros_included() -> None:
    assert all(re.fullmatch(r"[0-9]{6}", code) for code in DRAWS)
    assert any(code.startswith("00") for code in DRAWS)


@pytest.mark.parametrize("position", range(6))
def test_every_digit_of_a_code_is_uniform(position: int) -> None:
    # 9 degrees of freedom: a value above 27.9 has a probability of 0.1 %. The draws are fixed, so the result
    # is always the same.
    assert chi_square(Counter(code[position] for code in DRAWS), 10) < 27.9


def test_codes_are_uniform_as_a_whole() -> None:
    # 999 degrees of freedom: a value above 1143 has a probability of 0.1 %, and so has one below 863.
    for part in (slice(0, 3), slice(3, 6), slice(1, 6, 2)):
        assert 863 < chi_square(Counter(code[part] for code in DRAWS), 1000) < 1143
    # 50,000 draws of a million: 48,771 different ones are expected, with a deviation of about 34.
    assert 48_600 < len(set(DRAWS)) < 48_940


def test_neighbouring_codes_do_not_follow_from_each_other() -> None:
    pairs = Counter(a[-1] + b[-1] for a, b in pairwise(DRAWS))
    # 99 degrees of freedom.
    assert chi_square(pairs, 100) < 149


@pytest.mark.parametrize("length", range(4, 11))
def test_a_code_has_the_length_that_is_set(length: int) -> None:
    codes = [Codes(SECRET, length).derive(PHONE, str(n)) for n in range(1000)]
    assert all(re.fullmatch(rf"[0-9]{{{length}}}", code) for code in codes)
    assert {code[0] for code in codes} == set("0123456789")
    assert len(set(codes)) > 900


def test_a_code_follows_from_secret_phone_and_nonce_only() -> None:
    assert Codes(SECRET, 6).derive(PhoneNumber(PHONE.e164), "n") == CODES.derive(PHONE, "n")
    nonces = [str(n) for n in range(2000)]
    for codes, phone in ((CODES, OTHER_PHONE), (OTHER_CODES, PHONE)):
        same = sum(codes.derive(phone, nonce) == CODES.derive(PHONE, nonce) for nonce in nonces)
        assert same <= 1


def test_ids_and_digests_differ_by_phone_code_and_secret() -> None:
    made = [
        value
        for codes in (CODES, OTHER_CODES)
        for phone in (PHONE, OTHER_PHONE)
        for value in (
            codes.pid(phone),
            codes.client(phone.e164),
            codes.digest(phone, "123456"),
            codes.digest(phone, "123457"),
            codes.digest(phone, phone.e164),
        )
    ]
    # The ids of a network do not depend on the phone, so one network takes the phone's place here.
    assert len(set(made)) == len(made) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{12,22}", value) for value in made)


def test_a_proposal_is_random_and_its_digest_is_that_of_its_code() -> None:
    proposals = [CODES.propose(PHONE) for _ in range(200)]
    assert len({proposal.nonce for proposal in proposals}) == 200
    for proposal in proposals:
        assert proposal.digest == CODES.digest(PHONE, CODES.derive(PHONE, proposal.nonce))


def test_request_ids_are_random_and_safe_in_keys_and_log_entries() -> None:
    ids = [random_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{12}", each) for each in ids)


def test_a_reference_is_a_number_of_62_bits_that_follows_from_the_request() -> None:
    references = [CODES.reference(str(n)) for n in range(2000)]
    assert len(set(references)) == 2000
    assert all(0 <= reference < 2**REFERENCE_BITS for reference in references)
    assert max(references) > 2 ** (REFERENCE_BITS - 1)
    assert CODES.reference("1") == references[1] != OTHER_CODES.reference("1")


def test_no_secret_is_in_any_text_of_these_objects() -> None:
    challenge = CODES.propose(PHONE)
    hidden = [
        SECRET,
        PHONE.e164,
        PHONE.e164[1:],
        CODES.pid(PHONE),
        challenge.nonce,
        challenge.digest,
        CODES.derive(PHONE, challenge.nonce),
        "session-id",
        "refresh-id",
        "access-id",
    ]
    issued = Issued("request-id", challenge.nonce, 300_000, 0)
    session = Session("session-id", "refresh-id", "access-id", 0, 0, "sms")
    shown: list[object] = [CODES, PHONE, challenge, ProposedCode("nonce", "digest"), issued, session]
    for each in shown:
        for text in (repr(each), str(each), f"{each}"):
            assert not any(secret in text for secret in hidden)
    assert repr(PHONE) == "PhoneNumber(+98912***6789)"
