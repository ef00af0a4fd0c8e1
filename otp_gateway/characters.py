"""Sets of characters that people type and paste into numbers and codes.

Source: the Unicode Character Database, version 17.0. The sets are written out, because ``unicodedata`` lacks
some of the properties and has another version in each Python.
"""

from __future__ import annotations

Characters = frozenset[str]


def _characters(ranges: str) -> Characters:
    """The characters of code points and ranges in hexadecimal, in the notation of the database."""
    found = set()
    for item in ranges.split():
        first, _, last = item.partition("..")
        found |= {chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)}
    return frozenset(found)


# PropList.txt: White_Space. str.strip() also removes the controls U+001C to U+001F.
WHITE_SPACE = _characters("0009..000D 0020 0085 00A0 1680 2000..200A 2028..2029 202F 205F 3000")
# General_Category: Zs.
SPACES = _characters("0020 00A0 1680 2000..200A 202F 205F 3000")
# General_Category: Pd; and the minus sign U+2212, which calculators and spreadsheets write.
DASHES = _characters(
    "002D 058A 05BE 1400 1806 2010..2015 2212 2E17 2E1A 2E3A..2E3B 2E40 2E5D 301C 3030 30A0 FE31..FE32 FE58"
    " FE63 FF0D 10D6E 10EAD"
)
# Characters that are usually invisible. DerivedCoreProperties.txt: Default_Ignorable_Code_Point, which has
# the variation selectors and the direction marks.
DEFAULT_IGNORABLE = _characters(
    "00AD 034F 061C 115F..1160 17B4..17B5 180B..180F 200B..200F 202A..202E 2060..206F 3164 FE00..FE0F FEFF"
    " FFA0 FFF0..FFF8 1BCA0..1BCA3 1D173..1D17A E0000..E0FFF"
)
# The rest of General_Category Cf, the format characters.
OTHER_FORMAT = _characters("0600..0605 06DD 070F 0890..0891 08E2 FFF9..FFFB 110BD 110CD 13430..1343F")
IGNORED = DEFAULT_IGNORABLE | OTHER_FORMAT
# Persian, Arabic and full-width digits, each with its ASCII digit.
DIGITS = {chr(zero + value): str(value) for zero in (0x6F0, 0x660, 0xFF10) for value in range(10)}


def regex_class(characters: Characters) -> str:
    """A character class in ASCII that regular expressions of JSON Schema (ECMA 262) and Python share.

    Only characters up to U+FFFF are possible: the two languages write other characters differently.
    """
    points = sorted(ord(c) for c in characters if c <= "\uffff")
    starts = [point for point in points if point - 1 not in points]
    ends = [point for point in points if point + 1 not in points]
    ranges = (
        f"\\u{first:04x}" + (f"-\\u{last:04x}" if last > first else "")
        for first, last in zip(starts, ends, strict=True)
    )
    return f"[{''.join(ranges)}]"
