"""Reads the text that a user has typed as one canonical mobile number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import phonenumbers
from phonenumbers import PhoneNumberType

from otp_gateway.characters import DASHES, DIGITS, IGNORED, SPACES, WHITE_SPACE
from otp_gateway.errors import InvalidPhoneNumber, UnsupportedDestination
from otp_gateway.model import PhoneNumber

ALL_REGIONS = "*"
MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
IRAN = 98
# By Kavenegar and the Iranian numbering plan, a mobile number has ten national digits and begins with 9. The
# metadata of phonenumbers gets a new range years after its first use. So the metadata does not decide here.
IRANIAN_MOBILE = re.compile(r"9[0-9]{9}")
# The formats of most Iranian numbers. phonenumbers also reads the last ten digits of each format as the
# national number. A test compares both.
PLAIN_IRANIAN = re.compile(r"(?:\+98|0098|0)(9[0-9]{9})")
PREFIX_DIGITS = 3
PREFIX = re.compile(r"\+[1-9][0-9]{3,5}")
# The longest text that a request body can hold.
MAX_CHARACTERS = 8192
# Characters of a number that are replaced or removed.
PLAIN = str.maketrans(DIGITS | dict.fromkeys(DASHES, "-") | dict.fromkeys(IGNORED, ""))
OUTER = "".join(WHITE_SPACE)
WITHOUT_SPACES = str.maketrans(dict.fromkeys(SPACES, ""))
FORMAT = re.compile(r"\+?[0-9().-]+")


class PhoneParser:
    """Turns phone numbers into their canonical form. So all formats of one number have the same key."""

    def __init__(self, regions: Sequence[str]) -> None:
        """``regions``: allowed ISO 3166 codes; ``*`` is all.

        The first is the default for national numbers.
        """
        self._default = next(iter(regions), ALL_REGIONS)
        self._all = ALL_REGIONS in regions
        self._allowed = frozenset(regions)
        self._iranian = self._default == "IR"

    @property
    def country_code(self) -> str:
        """The country code of numbers that begin with 0; empty if every region is allowed."""
        if self._default == ALL_REGIONS:
            return ""
        return str(phonenumbers.country_code_for_region(self._default))

    def parse(self, raw: str) -> PhoneNumber:
        """The number in E.164.

        Raises ``InvalidPhoneNumber`` if the text cannot be one mobile number, and ``UnsupportedDestination``
        if the region of the mobile number is not allowed.
        """
        plain = PLAIN_IRANIAN.fullmatch(raw) if self._iranian else None
        if plain:
            # The metadata library is not used here: it would take most of the time of parsing.
            return PhoneNumber(f"+{IRAN}{plain[1]}")
        text = _clean(raw)
        if text.startswith("00"):
            # ITU-T E.164 recommends 00 as the international prefix. It is accepted in every region.
            text = f"+{text[2:]}"
        if text.startswith("+0"):
            # No country code begins with 0. phonenumbers would look for a country code after the 0.
            raise InvalidPhoneNumber
        region = None if self._default == ALL_REGIONS else self._default
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            raise InvalidPhoneNumber from None
        if not _is_mobile(number):
            raise InvalidPhoneNumber
        if not self._all and phonenumbers.region_code_for_number(number) not in self._allowed:
            raise UnsupportedDestination
        return PhoneNumber(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def prefix_of(phone: PhoneNumber) -> str:
    """The country code and three digits (``+98912``). Sends are counted and paused by this prefix.

    A parsed number is of an allowed region, so the allowed regions bound the number of prefixes.
    """
    digits = phone.e164[1:]
    # No country code is the beginning of another one.
    length = next((n for n in (1, 2, 3) if int(digits[:n]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 3)
    return f"+{digits[: length + PREFIX_DIGITS]}"


def national_digits(phone: PhoneNumber) -> str:
    """The number as people dial it in its own country, only digits: ``09123456789``."""
    number = phonenumbers.parse(phone.e164)
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return re.sub(r"[^0-9]", "", text)


def is_prefix(text: str) -> bool:
    """Whether ``prefix_of`` can give this text for a phone."""
    digits = text[1:]
    return bool(PREFIX.fullmatch(text)) and prefix_of(PhoneNumber(f"+{digits}0000")) == text


def _clean(raw: str) -> str:
    """The digits, with a leading plus if there is one. A text with other characters than those is refused."""
    if len(raw) > MAX_CHARACTERS:
        raise InvalidPhoneNumber
    # Each character is normalised by itself. For a run of combining marks, the time of normalize() grows with
    # the square of the run's length. The result is the same, because the characters of a number do not
    # combine.
    folded = "".join(unicodedata.normalize("NFKC", c) for c in raw)
    if len(folded) > MAX_CHARACTERS:
        raise InvalidPhoneNumber
    # Ignored characters are removed first, because they can be around the white space that has to be trimmed.
    text = folded.translate(PLAIN).strip(OUTER).translate(WITHOUT_SPACES)
    if not FORMAT.fullmatch(text):
        raise InvalidPhoneNumber
    return re.sub(r"[().-]", "", text)


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    if number.country_code == IRAN and not number.italian_leading_zero:
        return IRANIAN_MOBILE.fullmatch(str(number.national_number)) is not None
    return phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in MOBILE
