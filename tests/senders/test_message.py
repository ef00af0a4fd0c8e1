"""The text of an SMS, and its length in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp_gateway.senders.message import GSM, GSM_EXTENSION, Length, compose, length, outside_gsm


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("کد تایید شما: {code}", "کد تایید شما: 012345"),
        ("{code}", "012345"),
        ("{code} {link} {0} {} %s 100%", "012345 {link} {0} {} %s 100%"),
        ("Your code\n{code}\n", "Your code\n012345\n"),
    ],
)
def test_the_code_stands_where_the_operator_wants_it_and_nothing_else_changes(
    template: str, text: str
) -> None:
    assert compose(template, "012345") == text


@pytest.mark.parametrize("template", ["Your code: {code}", "{code}\n"])
def test_with_a_domain_the_last_line_is_at_host_hash_code(template: str) -> None:
    text = compose(template, "012345", "example.com")
    assert text.startswith(template.replace("{code}", "012345"))
    assert text.splitlines()[-1] == "@example.com #012345"


@pytest.mark.parametrize("domain", [None, ""])
def test_without_a_domain_there_is_no_such_line(domain: str | None) -> None:
    assert "@" not in compose("{code}", "012345", domain)


# Parts.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Length(1, 0, 160)),
        ("کد تایید شما: 012345", Length(1, 20, 70)),
        ("ک" * 70, Length(1, 70, 70)),
        ("ک" * 71, Length(2, 71, 134)),
        ("ک" * 134, Length(2, 134, 134)),
        ("ک" * 135, Length(3, 135, 201)),
        ("x" * 69 + "ک", Length(1, 70, 70)),
        ("x" * 160, Length(1, 160, 160)),
        ("x" * 161, Length(2, 161, 306)),
        ("x" * 306, Length(2, 306, 306)),
        ("x" * 307, Length(3, 307, 459)),
        ("x\n" * 80, Length(1, 160, 160)),
        ("€" * 80, Length(1, 160, 160)),
        # An escape and its character stay together: 76 of them leave one of 153 places empty.
        ("€" * 81, Length(2, 163, 306)),
        ("€" * 153, Length(3, 308, 459)),
        ("x" + "€" * 152, Length(2, 305, 306)),
        ("{[~]}^|\\" * 10, Length(1, 160, 160)),
        # Two UTF-16 units each.
        ("😀" * 35, Length(1, 70, 70)),
        ("😀" * 36, Length(2, 73, 134)),
        ("\t" + "x" * 70, Length(2, 71, 134)),
        ("`" + "x" * 70, Length(2, 71, 134)),
    ],
    ids=range(21),
)
def test_a_text_is_counted_as_carriers_count_it(text: str, expected: Length) -> None:
    assert length(text) == expected


def test_the_gsm_alphabet_has_its_127_characters_and_the_extension_ten() -> None:
    # 128 positions, one of which is the escape to the extension.
    assert len(GSM) == 127
    assert len(GSM_EXTENSION) == 10
    assert not GSM & GSM_EXTENSION
    printable = {chr(point) for point in range(32, 127)}
    assert printable - GSM - GSM_EXTENSION == {"`"}


@given(text=st.text(st.sampled_from("x€\nک😀’"), max_size=400))
def test_a_longer_text_never_has_fewer_parts_and_no_part_is_overfull(text: str) -> None:
    found = length(text)
    assert found.used <= found.places
    assert length(text + "x").parts >= found.parts
    assert (found.places == 70 or found.places % 67 == 0) == bool(outside_gsm(text))
    single = 70 if outside_gsm(text) else 160
    assert (found.parts == 1) == (found.places == single)


def test_characters_outside_of_gsm_are_named_once_and_in_order() -> None:
    assert outside_gsm("a‘b’c‘") == "‘’"
    assert outside_gsm("plain {text}") == ""
