"""Formats of phone numbers: one person is one key, and a text that cannot be one mobile is refused."""

from __future__ import annotations

import json
import re
import sys
import time
import timeit
import traceback
import unicodedata
from pathlib import Path
from random import Random

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otp_gateway import characters
from otp_gateway.errors import GatewayError, InvalidPhoneNumber, UnsupportedDestination
from otp_gateway.model import PhoneNumber
from otp_gateway.phones import PLAIN_IRANIAN, PhoneParser
from tests.support.searches import examples

CORPUS_FILE = Path(__file__).parent / "data" / "phones.json"
CORPUS: dict[str, list[dict[str, str]]] = json.loads(CORPUS_FILE.read_text(encoding="utf-8"))
ERRORS: dict[str, type[GatewayError]] = {
    "invalid_phone_number": InvalidPhoneNumber,
    "unsupported_destination": UnsupportedDestination,
}
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
IRAN = PhoneParser(["IR"])
EVERYWHERE = PhoneParser(["*"])

# Prefixes that are accepted before the ten national digits of an Iranian mobile.
PREFIXES = ("+98", "0", "98", "0098", "", "+98(0)")
# ASCII, Persian, Arabic, full-width and mathematical bold digits, by their zeros.
ZEROS = ("0", "\u06f0", "\u0660", "\uff10", "\U0001d7ce")
# ASCII, full-width, small and superscript.
PLUSSES = ("+", "\uff0b", "\ufe62", "\u207a")
# ASCII and full-width.
MARKS = (".", "(", ")", "\uff0e", "\uff08", "\uff09", *sorted(characters.DASHES))

nationals = st.from_regex(r"9[0-9]{9}", fullmatch=True)
invisible = st.characters(categories=["Cf"]) | st.sampled_from(sorted(characters.IGNORED))
white_space = st.sampled_from(sorted(characters.WHITE_SPACE))
blank = st.characters(categories=["Zs"])
unseen = st.text(invisible | white_space, max_size=3)
noise = st.text(invisible | blank | st.sampled_from(MARKS), max_size=3)
anything = st.text(st.characters(exclude_categories=[]))
hostile = st.lists(
    st.one_of(
        st.sampled_from(["9123456789", "912", "98", "00", "+98", "+44", "7400123456", "0"]),
        st.sampled_from("+0123456789().- "),
        st.sampled_from("/,;:#*xeE=%'<_\t\n\r\0\x1b\x7f\x85\u2028\u2010\u2011\u2013\u2212\u0640"),
        st.sampled_from("\u06f9\u0669\uff19\u0969\u09ef\u2468\u00b9\u247c\u2490\u00bd\U0001f10a"),
        st.sampled_from("\ud800\udfff\uffff\ue000\U0001f4f1\ufdfa\u00a8\u2026\u0301\ufe0f\u2800"),
        invisible,
        blank,
    ),
    max_size=20,
).map("".join)
permitted = st.text(
    st.sampled_from("00112345678999().- \u00a0\u200e\ufe0f\u2013\u2212\u06f9\u0669"), max_size=20
)


@st.composite
def spellings(draw: st.DrawFn, national: str) -> str:
    """One of the contract's formats, in digits of any script, with other characters between them."""
    written = []
    for character in draw(st.sampled_from(PREFIXES)) + national:
        if character == "+":
            written.append(draw(st.sampled_from(PLUSSES)))
        elif character.isdigit():
            written.append(chr(ord(draw(st.sampled_from(ZEROS))) + int(character)))
        else:
            written.append(character)
        written.append(draw(noise))
    return draw(unseen) + "".join(written) + draw(unseen)


def outcome(parser: PhoneParser, raw: str) -> str:
    """The number in E.164, or the code of the refusal. Any other exception passes through."""
    try:
        return parser.parse(raw).e164
    except (InvalidPhoneNumber, UnsupportedDestination) as error:
        return error.code


def is_dash(c: str) -> bool:
    return unicodedata.category(c) == "Pd" or c in "\u2212\U00010d6e"


def is_ignored(c: str) -> bool:
    # Sets that unicodedata lacks: PropList.txt, Other_Default_Ignorable_Code_Point, and above U+FFFF the
    # block that is ignorable as a whole.
    others = "\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0"
    return (
        unicodedata.category(c) == "Cf"
        or "VARIATION SELECTOR" in unicodedata.name(c, "")
        or c in others
        or "\ufff0" <= c <= "\ufff8"
        or "\U000e0000" <= c <= "\U000e0fff"
        # Format characters that are newer than the Unicode of some Pythons.
        or "\U00013439" <= c <= "\U0001343f"
    )


def has_only_permitted_characters(raw: str) -> bool:
    """The contract's rule, written down a second time and without regard to speed."""
    folded = unicodedata.normalize("NFKC", raw)
    seen = "".join(c for c in folded if not is_ignored(c))
    # str.isspace() also counts four control characters as white space.
    while seen and seen[0].isspace() and seen[0] not in "\x1c\x1d\x1e\x1f":
        seen = seen[1:]
    while seen and seen[-1].isspace() and seen[-1] not in "\x1c\x1d\x1e\x1f":
        seen = seen[:-1]
    digits = "0123456789" + "".join(chr(z + i) for z in (0x660, 0x6F0) for i in range(10))
    return all(
        c in digits or c in "()." or is_dash(c) or unicodedata.category(c) == "Zs"
        for c in seen.removeprefix("+")
    )


# The corpus.


@pytest.mark.parametrize("entry", CORPUS["accepted"], ids=lambda entry: entry["why"])
def test_an_accepted_format_is_the_number_that_it_means(entry: dict[str, str]) -> None:
    assert IRAN.parse(entry["input"]).e164 == entry["e164"]


@pytest.mark.parametrize("entry", CORPUS["refused"], ids=lambda entry: entry["why"])
def test_a_refused_format_gets_the_error_of_its_kind(entry: dict[str, str]) -> None:
    with pytest.raises(ERRORS[entry["code"]]) as caught:
        IRAN.parse(entry["input"])
    assert type(caught.value) is ERRORS[entry["code"]]
    assert caught.value.code == entry["code"]


def test_a_plain_iranian_number_is_read_as_the_metadata_library_reads_it() -> None:
    with_library = PhoneParser(["IR"])
    with_library._iranian = False

    def read(parser: PhoneParser, raw: str) -> str:
        try:
            return parser.parse(raw).e164
        except GatewayError as error:
            return error.code

    random = Random(98)
    prefixes = ("+98", "0098", "0", "98", "", "00", "+", "+980", "0098 0", "+1", "+49")
    texts = [
        random.choice(prefixes) + random.choice(("9", "")) + "".join(random.choices("0123456789", k=length))
        for length in random.choices((8, 9, 9, 9, 10), k=100_000)
    ]
    texts += [entry["input"] for kind in ("accepted", "refused") for entry in CORPUS[kind]]
    assert sum(PLAIN_IRANIAN.fullmatch(text) is not None for text in texts) > 5_000
    assert [text for text in texts if read(IRAN, text) != read(with_library, text)] == []


def test_the_corpus_hides_no_character_from_its_reader() -> None:
    text = CORPUS_FILE.read_bytes().decode("ascii")
    assert all(character == "\n" or character.isprintable() for character in text)


def test_the_corpus_names_every_format_and_every_reason_once() -> None:
    entries = CORPUS["accepted"] + CORPUS["refused"]
    inputs = [entry["input"] for entry in entries]
    assert len(entries) >= 90
    assert len(set(inputs)) == len(inputs)
    for kind in ("accepted", "refused"):
        reasons = [entry["why"] for entry in CORPUS[kind]]
        assert len(set(reasons)) == len(reasons)
    assert all(E164.fullmatch(entry["e164"]) for entry in CORPUS["accepted"])
    assert {entry["code"] for entry in CORPUS["refused"]} == set(ERRORS)


# One person, one key.


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), national=nationals)
def test_every_format_of_every_iranian_mobile_is_one_number(data: st.DataObject, national: str) -> None:
    raw = data.draw(spellings(national))
    assert IRAN.parse(raw).e164 == f"+98{national}"


@settings(max_examples=examples(500), deadline=None)
@given(national=nationals)
@example(national="9891234567")
@example(national="9800989898")
@example(national="9898989898")
@example(national="9000000000")
@example(national="9999999999")
def test_every_ten_digits_from_nine_are_one_number_in_each_plain_format(national: str) -> None:
    numbers = {IRAN.parse(prefix + national) for prefix in PREFIXES}
    assert numbers == {PhoneNumber(f"+98{national}")}


@pytest.mark.parametrize("prefix", range(900, 1000))
@pytest.mark.parametrize("rest", ["0000000", "1234567", "9999999"])
def test_every_range_from_900_to_999_is_a_mobile_in_each_plain_format(prefix: int, rest: str) -> None:
    national = f"{prefix}{rest}"
    numbers = {IRAN.parse(before + national).e164 for before in PREFIXES}
    assert numbers == {f"+98{national}"}


@settings(max_examples=examples(300), deadline=None)
@given(digits=st.from_regex(r"0{0,3}9[0-9]{8,10}|[0-9]{1,20}", fullmatch=True))
def test_only_ten_digits_from_nine_are_an_iranian_mobile_after_plus_98(digits: str) -> None:
    local = digits.removeprefix("0")
    expected = f"+98{local}" if re.fullmatch(r"9[0-9]{9}", local) else "invalid_phone_number"
    assert outcome(IRAN, f"+98{digits}") == expected


@settings(max_examples=examples(300), deadline=None)
@given(raw=permitted, plus=st.sampled_from(["", "+"]))
def test_marks_blanks_and_format_characters_never_change_the_answer(raw: str, plus: str) -> None:
    plain = "".join(str(int(c)) for c in raw if c.isdecimal())
    assert outcome(IRAN, plus + raw) == outcome(IRAN, plus + plain)


@settings(max_examples=examples(300), deadline=None)
@given(raw=anything | hostile, before=unseen, after=unseen)
def test_white_space_and_ignored_characters_round_a_text_never_change_the_answer(
    raw: str, before: str, after: str
) -> None:
    assert outcome(IRAN, before + raw + after) == outcome(IRAN, raw)


def test_hundreds_of_invisible_characters_do_not_hide_a_number() -> None:
    assert IRAN.parse("\u200c" * 500 + "0912\u2069\u20663456789" + " " * 500).e164 == "+989123456789"
    assert IRAN.parse("\u200f".join("0912" + "-" * 300 + "3456789")).e164 == "+989123456789"


# Arbitrary text.


@settings(max_examples=examples(500), deadline=None)
@given(raw=anything | hostile)
@pytest.mark.parametrize("regions", [["IR"], ["*"], ["US"], ["IR", "*"]], ids=",".join)
def test_any_text_is_one_number_in_e164_or_one_of_the_two_errors(regions: list[str], raw: str) -> None:
    parser = PhoneParser(regions)
    result = outcome(parser, raw)
    if result not in ERRORS:
        assert E164.fullmatch(result)
        assert parser.parse(result).e164 == result


@settings(max_examples=examples(500), deadline=None)
@given(raw=anything | hostile)
@pytest.mark.parametrize("regions", [["IR"], ["*"]], ids=",".join)
def test_a_text_with_any_other_character_is_an_invalid_number(regions: list[str], raw: str) -> None:
    if not has_only_permitted_characters(raw):
        assert outcome(PhoneParser(regions), raw) == "invalid_phone_number"


@settings(max_examples=examples(300), deadline=None)
@given(
    national=nationals,
    stranger=st.characters().filter(lambda c: not has_only_permitted_characters(c)),
    place=st.integers(0, 10),
)
@example(national="9123456789", stranger="\x1f", place=10)
@example(national="9123456789", stranger="\0", place=10)
def test_one_stranger_anywhere_in_a_number_makes_it_invalid(national: str, stranger: str, place: int) -> None:
    raw = national[:place] + stranger + national[place:]
    assert outcome(IRAN, raw) == "invalid_phone_number"


@settings(max_examples=examples(300), deadline=None)
@given(national=nationals, control=st.characters(categories=["Cc", "Zl", "Zp"]), place=st.integers(1, 9))
def test_a_control_character_or_line_end_between_the_digits_makes_a_number_invalid(
    national: str, control: str, place: int
) -> None:
    raw = national[:place] + control + national[place:]
    assert outcome(IRAN, raw) == "invalid_phone_number"


@settings(max_examples=examples(300), deadline=None)
@given(national=nationals, place=st.integers(1, 11), plus=st.sampled_from(PLUSSES))
def test_a_plus_anywhere_but_in_front_makes_a_number_invalid(national: str, place: int, plus: str) -> None:
    raw = f"0{national}"
    assert outcome(IRAN, raw[:place] + plus + raw[place:]) == "invalid_phone_number"


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), first=nationals, second=nationals)
def test_two_numbers_in_one_field_are_no_number(data: st.DataObject, first: str, second: str) -> None:
    between = data.draw(st.sampled_from(["", " ", ",", ", ", "/", "-", " - ", ";", "\n", "\u060c"]))
    raw = between.join(data.draw(st.sampled_from(PREFIXES)) + each for each in (first, second))
    assert outcome(IRAN, raw) == "invalid_phone_number"


@pytest.mark.parametrize("character", ["9", "0", "+", " ", "-", "(", "\u200e", "\u06f9", "\ufdfa"])
def test_a_very_long_text_of_one_character_is_refused(character: str) -> None:
    assert outcome(IRAN, character * 8192) == "invalid_phone_number"


@pytest.mark.parametrize("regions", [["IR"], ["*"]], ids=",".join)
@pytest.mark.parametrize(
    "piece",
    ["\u0f73", "\u0345\u0301", "\ufdfa", "\ufe0f", "\u2013", "\n", " 1", "1.", "(", "0", "1"],
    ids=ascii,
)
def test_sixteen_times_the_text_takes_no_longer_than_its_length_says(regions: list[str], piece: str) -> None:
    parser = PhoneParser(regions)

    def seconds(length: int) -> float:
        # Processor time, and the shortest of several runs: other programs on the machine do not count.
        text = "+" + piece * (length // len(piece))
        return min(timeit.repeat(lambda: outcome(parser, text), timer=time.process_time, number=3, repeat=7))

    # 256 times as long if it grows with the square, as NFKC of a whole run of marks does.
    assert seconds(8000) < 128 * max(seconds(500), 1e-4)


def test_nfkc_that_makes_a_long_text_longer_is_refused() -> None:
    assert outcome(IRAN, "\ufdfa" * 8000) == "invalid_phone_number"
    assert outcome(IRAN, "\u2026" * 2000 + "09123456789") == "+989123456789"
    assert outcome(IRAN, "\u2026" * 8000 + "09123456789") == "invalid_phone_number"


def test_a_text_that_no_body_can_hold_is_refused_at_once() -> None:
    assert IRAN.parse("09123456789" + " " * (8192 - 11)).e164 == "+989123456789"
    assert outcome(IRAN, "09123456789" + " " * (8192 - 10)) == "invalid_phone_number"


# The sets of characters.

EVERY = [chr(point) for point in range(sys.maxunicode + 1)]


def in_category(category: str) -> set[str]:
    return {c for c in EVERY if unicodedata.category(c) == category}


def is_unassigned(c: str) -> bool:
    # In the Unicode version of this Python, which may be older than the sets.
    return unicodedata.category(c) == "Cn"


def test_white_space_and_blanks_are_unicodes() -> None:
    assert {c for c in EVERY if c.isspace()} - set("\x1c\x1d\x1e\x1f") == characters.WHITE_SPACE
    assert in_category("Zs") == characters.SPACES


def test_dashes_are_those_of_unicode_and_the_minus_sign() -> None:
    dashes = in_category("Pd") | {"\u2212"}
    assert dashes <= characters.DASHES
    assert all(is_unassigned(c) for c in characters.DASHES - dashes)


def test_ignored_characters_are_the_format_characters_and_the_default_ignorable_ones() -> None:
    formats = in_category("Cf")
    assert formats <= characters.IGNORED
    assert all(is_unassigned(c) for c in characters.OTHER_FORMAT - formats)
    # The rule at the head of the property in DerivedCoreProperties.txt. Variation_Selector is in the names.
    selectors = {c for c in EVERY if "VARIATION SELECTOR" in unicodedata.name(c, "")}
    others = {c for c in characters.DEFAULT_IGNORABLE if unicodedata.category(c) in ("Cn", "Lo", "Mn")}
    assert (formats - characters.OTHER_FORMAT) | selectors | others == characters.DEFAULT_IGNORABLE
    assert others - selectors == {c for c in EVERY if is_ignored(c)} - formats - selectors - set(
        map(chr, range(0x13439, 0x13440))
    )


def test_no_character_is_in_two_sets() -> None:
    sets = [
        characters.WHITE_SPACE,
        characters.DASHES,
        characters.DEFAULT_IGNORABLE,
        characters.OTHER_FORMAT,
        frozenset(characters.DIGITS),
        frozenset("0123456789+()."),
    ]
    assert sum(map(len, sets)) == len(frozenset.union(*sets))


def test_no_character_of_a_number_combines_with_another() -> None:
    # So NFKC of each character is NFKC of the text.
    kept = characters.SPACES | characters.DASHES | characters.IGNORED | set("0123456789+().")
    kept |= characters.DIGITS.keys()
    assert not [c for c in kept if unicodedata.combining(c)]
    text = "".join(c + d for c in sorted(kept - characters.IGNORED) for d in "1+-(\u3000\u0669\ufe0f\u1160")
    assert unicodedata.normalize("NFKC", text) == "".join(unicodedata.normalize("NFKC", c) for c in text)


@settings(max_examples=examples(500), deadline=None)
@given(raw=anything | hostile)
def test_a_text_is_permitted_as_a_whole_if_it_is_character_by_character(raw: str) -> None:
    whole = has_only_permitted_characters(raw)
    assert whole == has_only_permitted_characters("".join(unicodedata.normalize("NFKC", c) for c in raw))


# Regions.


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("+989123456789", "+989123456789"),
        ("00989123456789", "+989123456789"),
        ("+98 (0)912-345-6789", "+989123456789"),
        ("+989951234567", "+989951234567"),
        ("+447400123456", "+447400123456"),
        ("0044 7400 123456", "+447400123456"),
        ("+44 (0)7400 123456", "+447400123456"),
        ("+4915123456789", "+4915123456789"),
        ("+12025550123", "+12025550123"),
        ("00971501234567", "+971501234567"),
        (
            "\uff0b\u06f9\u06f7\u06f1\u06f5\u06f0\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7",
            "+971501234567",
        ),
    ],
)
def test_all_regions_accept_every_mobile_in_international_form(raw: str, e164: str) -> None:
    assert EVERYWHERE.parse(raw).e164 == e164


@pytest.mark.parametrize("raw", ["09123456789", "9123456789", "07400123456", "2025550123", "0501234567"])
def test_all_regions_without_a_default_refuse_national_numbers(raw: str) -> None:
    assert outcome(EVERYWHERE, raw) == "invalid_phone_number"


@pytest.mark.parametrize(
    "raw", ["+982112345678", "+442079460958", "00442079460958", "+18002345678", "+97142345678"]
)
def test_all_regions_still_refuse_landlines_and_service_numbers(raw: str) -> None:
    assert outcome(EVERYWHERE, raw) == "invalid_phone_number"


@pytest.mark.parametrize(
    "raw", ["2025550123", "(202) 555-0123", "1 202 555 0123", "+1 202-555-0123", "0012025550123"]
)
def test_the_first_region_reads_national_numbers(raw: str) -> None:
    assert PhoneParser(["US"]).parse(raw).e164 == "+12025550123"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("09123456789", "invalid_phone_number"),
        ("+989123456789", "unsupported_destination"),
        ("00989123456789", "unsupported_destination"),
        ("+989951234567", "unsupported_destination"),
        ("+982112345678", "invalid_phone_number"),
        ("+16045550123", "unsupported_destination"),
        ("604 555 0123", "unsupported_destination"),
        ("+12423591234", "unsupported_destination"),
        ("8002345678", "invalid_phone_number"),
    ],
)
def test_a_gateway_for_the_united_states_refuses_other_regions(raw: str, code: str) -> None:
    assert outcome(PhoneParser(["US"]), raw) == code


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("07400123456", "+447400123456"),
        ("+447400123456", "+447400123456"),
        ("+447781123456", "unsupported_destination"),
        ("07781123456", "unsupported_destination"),
        ("+447700900123", "invalid_phone_number"),
    ],
)
def test_regions_that_share_a_country_code_are_distinguished(raw: str, expected: str) -> None:
    assert outcome(PhoneParser(["GB"]), raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("09123456789", "+989123456789"),
        ("9951234567", "+989951234567"),
        ("+989123456789", "+989123456789"),
        ("+971501234567", "+971501234567"),
        ("00971 50 123 4567", "+971501234567"),
        ("0501234567", "invalid_phone_number"),
        ("501234567", "invalid_phone_number"),
        ("971501234567", "invalid_phone_number"),
        ("+97142345678", "invalid_phone_number"),
        ("+447400123456", "unsupported_destination"),
    ],
)
def test_a_second_region_is_allowed_in_international_form_only(raw: str, expected: str) -> None:
    assert outcome(PhoneParser(["IR", "AE"]), raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("09123456789", "+989123456789"),
        ("989061234567", "+989061234567"),
        ("+447400123456", "+447400123456"),
        ("0012025550123", "+12025550123"),
        ("07400123456", "invalid_phone_number"),
        ("+442079460958", "invalid_phone_number"),
        ("02112345678", "invalid_phone_number"),
    ],
)
def test_all_regions_with_a_default_read_its_national_numbers(raw: str, expected: str) -> None:
    assert outcome(PhoneParser(["IR", "*"]), raw) == expected


def test_a_default_that_is_not_iran_leaves_iranian_ranges_open() -> None:
    parser = PhoneParser(("AE", "IR"))
    assert parser.parse("0501234567").e164 == "+971501234567"
    assert parser.parse("+989951234567").e164 == "+989951234567"
    assert outcome(parser, "09951234567") == "invalid_phone_number"


# The form of a number that a log may show.


def mobiles_of_every_region() -> list[str]:
    found = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is not None:
            found.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return found


def assert_masked(phone: PhoneNumber) -> None:
    head, tail = phone.masked.split("***")
    assert phone.e164.startswith(head)
    assert phone.e164.endswith(tail)
    assert len(head) <= 6
    assert len(tail) <= 4
    assert len(phone.e164) - len(head) - len(tail) >= 3
    digits = phone.e164.removeprefix("+")
    for text in (phone.masked, str(phone), repr(phone), f"{phone}", f"{phone!r}", f"{[phone]}"):
        assert digits not in text


def test_the_mask_shows_the_first_six_and_the_last_four_characters() -> None:
    phone = IRAN.parse("09123456789")
    assert phone.masked == "+98912***6789"
    assert_masked(phone)


def test_the_mask_of_the_shortest_mobiles_hides_at_least_three_digits() -> None:
    for e164 in ["+6907290", "+29051234", *mobiles_of_every_region()]:
        phone = EVERYWHERE.parse(e164)
        assert phone.e164 == e164
        assert_masked(phone)


@settings(deadline=None)
@given(e164=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_the_mask_hides_three_digits_of_any_number_in_e164(e164: str) -> None:
    phone = PhoneNumber(e164)
    assert_masked(phone)


@pytest.mark.parametrize(
    "raw",
    [
        "+447400123456",
        "0212345678",
        "+9821 1234 5678",
        "09123456789x",
        "09123456789\0",
        "+98912345678900000",
        "\ud80009123456789",
    ],
    ids=ascii,
)
def test_an_error_and_its_traceback_do_not_tell_the_number(raw: str) -> None:
    with pytest.raises(GatewayError) as caught:
        IRAN.parse(raw)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    told += f"{caught.value.detail}{caught.value.data}{caught.value!r}"
    digits = "".join(re.findall(r"[0-9]", raw))
    assert not [i for i in range(len(digits) - 4) if digits[i : i + 5] in told]
