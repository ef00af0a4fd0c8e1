"""The pattern of a code in /openapi.json: a reader of the document accepts the same texts as the gateway."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from otp_gateway.api.request_schemas import SEPARATORS, CodeField
from otp_gateway.characters import DIGITS
from tests.openapi.site import Site
from tests.support.gateway import ROOT
from tests.support.searches import examples

CORPUS = json.loads((ROOT / "tests/data/phones.json").read_text(encoding="utf-8"))
PHONES: list[str] = [entry["input"] for kind in CORPUS.values() for entry in kind]

# The text of a code: often one, sometimes with a character too many.
code_digits = st.sampled_from(sorted(DIGITS) + list("0123456789"))
separators = st.sampled_from(sorted(SEPARATORS)) | st.sampled_from(" -\n\u200f\ufe0f\u2013\U000e0020")
strangers = st.characters(exclude_categories=[]) | st.sampled_from(
    "+.()/x\u00b2\u2460\U0001d7ce\ud800\x1f\u207b"
)
code_texts = st.lists(code_digits | separators, max_size=14) | st.lists(
    code_digits | separators | strangers, max_size=14
)
codes = st.lists(st.tuples(st.text(separators, max_size=2), code_digits), min_size=6, max_size=6).map(
    lambda pairs: [character for blank, digit in pairs for character in blank + digit]
)


@cache
def pattern(length: int) -> re.Pattern[str]:
    """The pattern of the document that a gateway serves."""
    document = Site(OTP_LENGTH=length).document
    text = document.whole["components"]["schemas"]["VerifyRequest"]["properties"]["code"]["pattern"]
    # ECMA's $ is only the end of the text, Python's can also be before a line end.
    return re.compile(text.removesuffix("$") + r"\Z")


def is_accepted(text: str, length: int = 6) -> bool:
    try:
        code = CodeField(length).deserialize(text)
    except ValidationError:
        return False
    assert re.fullmatch(f"[0-9]{{{length}}}", code)
    return True


def test_the_pattern_of_a_code_names_every_character_up_to_ffff_that_the_gateway_takes() -> None:
    matches = pattern(6).match
    every = [chr(point) for point in range(0x10000)]
    assert {c for c in every if matches(f"{c}12345")} == {c for c in every if is_accepted(f"{c}12345")}
    for text in ("{}123456", "123{}456", "123456{}"):
        texts = [text.format(c) for c in every]
        assert [t for t in texts if matches(t)] == [t for t in texts if is_accepted(t)]


def test_the_pattern_of_a_code_has_no_character_above_ffff() -> None:
    matches = pattern(6).match
    # The planes that have digits, dashes or ignored characters.
    every = [chr(point) for point in (*range(0x10000, 0x20000), *range(0xE0000, 0xE2000))]
    assert not [c for c in every if matches(f"123456{c}")]
    assert {c for c in every if is_accepted(f"123456{c}")} == {c for c in SEPARATORS if c > "\uffff"}


@settings(max_examples=examples(1000), deadline=None)
@given(characters=code_texts | codes)
@pytest.mark.parametrize("length", [6, 10])
def test_the_pattern_of_a_code_matches_exactly_the_texts_that_the_gateway_takes(
    length: int, characters: list[str]
) -> None:
    text = "".join(characters)
    matched = pattern(length).match(text) is not None
    if max(text, default="") <= "\uffff":
        assert matched == is_accepted(text, length)
    else:
        assert not matched


@settings(max_examples=examples(500), deadline=None)
@given(data=st.data())
def test_each_text_of_the_pattern_is_a_code(data: st.DataObject) -> None:
    assert is_accepted(data.draw(st.from_regex(pattern(6))))


def test_the_pattern_is_ascii_with_no_other_escape_than_of_code_points() -> None:
    # Readers without Unicode, and those that copy it into code, find no character that they could break.
    text = pattern(6).pattern.removesuffix(r"\Z")
    assert text.isascii()
    assert text.isprintable()
    assert re.fullmatch(r"(?:\\u[0-9a-f]{4}|[\^$\[\]()*{}6-])+", text + "$")


def test_a_long_text_takes_the_pattern_no_longer_than_its_length_says() -> None:
    # A reader that backtracks has one way to match, because no character is both digit and separator.
    assert not SEPARATORS & (DIGITS.keys() | set("0123456789"))
    assert pattern(6).match(("1" + "-" * 1000) * 6)
    assert not pattern(6).match(("1" + "-" * 1000) * 7)


def test_the_pattern_of_a_code_treats_pasted_texts_like_the_gateway() -> None:
    found = {True: 0, False: 0}
    for phone in PHONES:
        # The last ten digits, so that only the other characters decide.
        places = [place for place, c in enumerate(phone) if c.isdecimal()]
        text = phone[places[-11] + 1 :] if len(places) > 10 else phone
        if max(text, default="") <= "\uffff":
            accepted = is_accepted(text, 10)
            assert (pattern(10).match(text) is not None) == accepted, ascii(phone)
            found[accepted] += 1
    assert min(found.values()) > 50
