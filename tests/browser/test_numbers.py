"""The page's rules about numbers never contradict the gateway's."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import phonenumbers
import pytest
from playwright.sync_api import Page

from otp_gateway.errors import GatewayError
from otp_gateway.pages.number_rules import rules
from otp_gateway.phones import PhoneParser
from tests.browser.conftest import MakePerson
from tests.browser.person import PERSIAN
from tests.support.gateway import ROOT

CORPUS = json.loads((ROOT / "tests" / "data" / "phones.json").read_text(encoding="utf-8"))
REGIONS = [("IR",), ("DE",), ("US",), ("RU",), ("BR",), ("IR", "DE", "AF"), ("*",)]
READ = """([rules, texts]) => import("/static/numbers.js").then(({ PhoneNumbers }) => {
    const numbers = new PhoneNumbers(rules);
    return texts.map((text) => {
      const canonical = numbers.canonical(text);
      return [numbers.fault(text), canonical, numbers.format(canonical)];
    });
})"""
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def read(page: Page, regions: Sequence[str], texts: Sequence[str]) -> list[list[Any]]:
    found: list[list[Any]] = page.evaluate(READ, [rules(regions), list(texts)])
    return found


def in_each_format(number: phonenumbers.PhoneNumber) -> list[str]:
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    plain = "".join(c for c in national if c.isdigit())
    bases = [e164, e164[1:], f"00{e164[1:]}", national, plain, str(number.national_number)]
    bases.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
    if number.country_code == 98:
        bases.append(f"+98 (0){number.national_number}")
    texts = [*bases, *(f" {base}\u200f " for base in bases), *(base.translate(PERSIAN) for base in bases)]
    texts += [base.translate(ARABIC) for base in bases]
    return texts + [base.replace(" ", "\u2011") for base in bases]


@pytest.mark.parametrize("regions", REGIONS, ids="-".join)
def test_each_number_that_the_gateway_accepts_gets_past_the_page(
    person: MakePerson, regions: tuple[str, ...]
) -> None:
    draw = random.Random(1)
    parser = PhoneParser(regions)
    texts = [case["input"] for case in CORPUS["accepted"]]
    for region in phonenumbers.SUPPORTED_REGIONS if "*" in regions else regions:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is None:
            continue
        for _ in range(3 if "*" in regions else 20):
            tail = f"{draw.randrange(10**4):04d}"
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=int(f"{str(example.national_number)[:-4]}{tail}"),
                italian_leading_zero=example.italian_leading_zero,
            )
            texts += in_each_format(number)
    accepted: dict[str, str] = {}
    for text in texts:
        try:
            accepted[text] = parser.parse(text).e164
        except GatewayError:
            continue
    assert len(accepted) > 50
    results = read(person().open().page, regions, list(accepted))
    assert [text for text, (fault, _, _) in zip(accepted, results, strict=True) if fault] == []
    if regions == ("IR",):
        # Here the page knows the canonical form too.
        assert [canonical for _, canonical, _ in results] == list(accepted.values())


def test_numbers_are_shown_as_people_write_them(person: MakePerson) -> None:
    page = person().open().page
    shown = {
        ("IR",): {"+989123456789": "0912 345 6789"},
        ("IR", "DE"): {"+989123456789": "0912 345 6789", "+4915112345678": "+49 1511 2345678"},
        ("US",): {"+12015550123": "(201) 555-0123"},
        ("AF",): {"+93701234567": "070 123 4567", "+989123456789": "+989123456789"},
        ("*",): {"+989123456789": "+98 912 345 6789", "+15551234567": "+15551234567"},
    }
    for regions, numbers in shown.items():
        assert [found[2] for found in read(page, regions, list(numbers))] == list(numbers.values())


def test_the_example_of_each_region_is_a_number_that_the_page_accepts(person: MakePerson) -> None:
    page = person().open().page
    faults = {
        region: found[0][0]
        for region in phonenumbers.SUPPORTED_REGIONS
        if (found := read(page, (region,), [rules((region,))["example"]])) and found[0][0]
    }
    assert faults == {}
