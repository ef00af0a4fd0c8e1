"""The login page with the operator's brand: name, logo, colour and terms, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from otp_gateway.pages.brand import DARK_GROUND, LIGHT_GROUND
from otp_gateway.pages.brand import scheme as readable
from tests.browser.conftest import MakePerson, environment
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

NAME, TERMS = "فروشگاه نمونه", "https://shop.example.com/terms"
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 48"><rect width="90" height="48"/></svg>'
# White text is hard to read on this yellow, and so is the yellow itself on a white page.
YELLOW = "#ffd400"
VIOLATIONS = "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id))"


@pytest.fixture(scope="module")
def branded(
    redis_server: RedisServer,
    running_emulator: KavenegarEmulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A gateway of a shop, for people whose browser speaks neither Persian nor English: Persian."""
    logo: Path = tmp_path_factory.mktemp("brand") / "logo.svg"
    logo.write_text(LOGO, encoding="utf-8")
    variables = environment(
        running_emulator,
        REDIS_URL=redis_server.url,
        BRAND_NAME=NAME,
        BRAND_LOGO=str(logo),
        BRAND_COLOR=YELLOW,
        BRAND_TERMS=TERMS,
        OTP_LANGUAGE="fa",
    )
    with Gateway(variables, workers=1) as gateway:
        yield gateway


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_brand_is_shown_and_readable_on_each_step(
    person: MakePerson, branded: Gateway, axe: str, scheme: str
) -> None:
    somebody = person("fa", at=branded, color_scheme=scheme).open()
    page = somebody.page
    expect(page).to_have_title(f"{somebody.say('title')} · {NAME}")
    expect(page.get_by_role("heading")).to_have_text(somebody.say("title_brand").format(brand=NAME))
    # It has been loaded, in its own proportions.
    assert page.locator(".logo").evaluate("(logo) => [logo.naturalWidth > 0, logo.width]") == [True, 90]
    expect(page.get_by_role("link", name=somebody.say("terms_link"))).to_have_attribute("href", TERMS)
    ground, other = {"light": (LIGHT_GROUND, "#000000"), "dark": (DARK_GROUND, "#ffffff")}[scheme]
    shown = readable(YELLOW, ground, other).accent
    rgb = f"rgb({', '.join(map(str, bytes.fromhex(shown[1:])))})"
    expect(somebody.submit).to_have_css("background-color", rgb)
    page.evaluate(axe)
    assert page.evaluate(VIOLATIONS) == []
    somebody.asked()
    # The user has accepted the terms by then.
    expect(page.get_by_role("link", name=somebody.say("terms_link"))).to_be_hidden()
    assert page.evaluate(VIOLATIONS) == []
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    assert page.evaluate(VIOLATIONS) == []


def test_the_operators_language_is_for_other_browsers_only(person: MakePerson, branded: Gateway) -> None:
    for locale, language in (("de-DE", "fa"), ("en-GB", "en"), ("fa-IR", "fa")):
        somebody = person(language, at=branded, locale=locale).open()
        expect(somebody.page.locator("html")).to_have_attribute("lang", language)
