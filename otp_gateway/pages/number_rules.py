"""Rules about phone numbers for the login page, which can so report a typing error without a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from otp_gateway.phones import ALL_REGIONS

IRAN = "IR"
# E.164 has at most 15 digits; a prefix and a zero in brackets may be typed too.
MOST_DIGITS = 20


def rules(regions: Sequence[str]) -> dict[str, Any]:
    """The members that ``PhoneNumbers`` in numbers.js describes, and the example number of the page.

    The page must accept each number that the gateway accepts. So only Iran has exact rules, the same as in
    ``otp_gateway.phones``. For other countries, the page knows only the number of digits.
    """
    default = next(iter(regions), ALL_REGIONS)
    # If a site accepts every country, the example has its country code.
    example = _example(IRAN if default == ALL_REGIONS else default)
    form = PhoneNumberFormat.INTERNATIONAL if default == ALL_REGIONS else PhoneNumberFormat.NATIONAL
    known = [IRAN] if ALL_REGIONS in regions else list(regions)
    only_iran = list(regions) == [IRAN]
    fewest = 5 if len(known) > 1 or ALL_REGIONS in regions else _fewest_digits(default)
    return {
        "example": phonenumbers.format_number(example, form),
        "code": str(example.country_code),
        "pattern": "(?:98)?0?9[0-9]{9}" if only_iran else f"[0-9]{{{fewest},{MOST_DIGITS}}}",
        # A national number may begin with 98 too.
        "trunk": "(?:98(?=0?9[0-9]{9}$))?0?" if only_iran else None,
        "formats": _formats(known, national=form == PhoneNumberFormat.NATIONAL),
    }


def _example(region: str) -> phonenumbers.PhoneNumber:
    """A mobile number of the region, or else of its country code (Tristan da Cunha has no number)."""
    country_code = phonenumbers.country_code_for_region(region)
    regions = (region, phonenumbers.region_code_for_country_code(country_code))
    found = (phonenumbers.example_number_for_type(name, PhoneNumberType.MOBILE) for name in regions)
    return next(filter(None, found))


def _fewest_digits(region: str) -> int:
    return len(str(_example(region).national_number)) - 2


def _formats(regions: Sequence[str], *, national: bool) -> dict[str, str]:
    """The national formats of the first region, and the international formats of all other regions."""
    formats: dict[str, str] = {}
    for region in regions:
        example = _example(region)
        at_home = national and region == regions[0]
        form = PhoneNumberFormat.NATIONAL if at_home else PhoneNumberFormat.INTERNATIONAL
        text = phonenumbers.format_number(example, form)
        formats.setdefault(str(example.country_code), _with_places(text, str(example.national_number)))
    return formats


def _with_places(text: str, digits: str) -> str:
    """The text with # for each digit of the national number, which is at the end of the text."""
    left = len(digits)
    places = []
    for character in reversed(text):
        if character.isdigit() and left:
            left -= 1
            places.append("#")
        else:
            places.append(character)
    return "".join(reversed(places))
