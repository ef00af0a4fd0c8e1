"""From what a person typed to one canonical mobile number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import phonenumbers
from phonenumbers import PhoneNumberType

from otp_gateway.errors import InvalidPhoneNumber, UnsupportedDestination
from otp_gateway.model import PhoneNumber

ALL_REGIONS = "*"
MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
IRAN = 98
# Kavenegar and the Iranian numbering plan: ten national digits from 9. The metadata of phonenumbers
# learns of a new range years after it is in use, so it does not decide here.
IRANIAN_MOBILE = re.compile(r"9[0-9]{9}")
# Persian and Arabic digits; full-width ones are ASCII after NFKC.
DIGITS = {ord(c): str(i % 10) for i, c in enumerate("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩")}
SPELLING = re.compile(r"\+?[0-9().-]+")


class PhoneParser:
    """Canonicalises phone numbers, so that one person is one key however the number is written."""

    def __init__(self, regions: Sequence[str]) -> None:
        """``regions``: ISO 3166 codes allowed; the first is the default of national numbers, ``*`` is all."""
        self._default = next(iter(regions), ALL_REGIONS)
        self._all = ALL_REGIONS in regions
        self._allowed = frozenset(regions)

    def parse(self, raw: str) -> PhoneNumber:
        """The number in E.164.

        Raises ``InvalidPhoneNumber`` where the text cannot be one mobile number, ``UnsupportedDestination``
        for a mobile number of a region that is not allowed.
        """
        text = _clean(raw)
        if text.startswith("00"):
            # ITU-T E.164's recommended international prefix, whatever the default region dials.
            text = f"+{text[2:]}"
        if text.startswith("+0"):
            # No country code begins with 0; phonenumbers would go on and look for one behind it.
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


def _clean(raw: str) -> str:
    """Digits with at most a leading plus; anything that a phone number does not hold is refused."""
    folded = unicodedata.normalize("NFKC", raw)
    visible = (c for c in folded if unicodedata.category(c) != "Cf")
    text = "".join(c for c in visible if unicodedata.category(c) != "Zs").translate(DIGITS)
    if not SPELLING.fullmatch(text):
        raise InvalidPhoneNumber
    return re.sub(r"[().-]", "", text)


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    if number.country_code == IRAN and not number.italian_leading_zero:
        return IRANIAN_MOBILE.fullmatch(str(number.national_number)) is not None
    return phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in MOBILE
