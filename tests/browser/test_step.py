"""The page keeps its step: a user who left to read the SMS continues at the same place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakePerson
from tests.browser.person import PHONE, SHOWN, TYPED, Person
from tests.browser.stores import WITHOUT_STORAGE
from tests.support.kavenegar import KavenegarEmulator

CLOCK = re.compile(r"4:[0-5][0-9]|5:00")


def elsewhere_and_back(page: Page) -> None:
    page.goto(page.url.rstrip("/") + "/healthz")
    page.go_back()


def language_and_back(page: Page) -> None:
    page.get_by_role("link", name="فارسی").click()
    expect(page.locator("html")).to_have_attribute("lang", "fa")
    page.go_back()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def back_and_forward(page: Page) -> None:
    page.go_back()
    expect(page.locator("#phone")).to_be_focused()
    page.go_forward()


LEAVE: dict[str, Callable[[Page], object]] = {
    "reload": lambda page: page.reload(),
    "elsewhere and back": elsewhere_and_back,
    "language and back": language_and_back,
    "back and forward": back_and_forward,
}
STORAGES = pytest.mark.parametrize("storage", ["", *WITHOUT_STORAGE.values()], ids=["kept", *WITHOUT_STORAGE])


def expect_code_step(somebody: Person) -> None:
    """The code's step with number, expiry and resend time, and it works."""
    expect(somebody.code).to_be_focused()
    expect(somebody.number).to_be_visible()
    expect(somebody.page.get_by_role("timer")).to_contain_text(CLOCK)
    expect(somebody.resend).to_be_disabled()
    expect(somebody.resend).to_contain_text(re.compile("0:[0-3][0-9]"))
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    assert len(somebody.posts("/otp")) == 1


@STORAGES
@pytest.mark.parametrize("way", LEAVE)
def test_the_code_step_comes_back(person: MakePerson, way: str, storage: str) -> None:
    somebody = person()
    somebody.page.add_init_script(storage)
    somebody.open().asked()
    LEAVE[way](somebody.page)
    expect_code_step(somebody)


@STORAGES
def test_the_language_link_keeps_the_step(person: MakePerson, storage: str) -> None:
    somebody = person("fa")
    somebody.page.add_init_script(storage)
    somebody.open("/?lang=fa&next=x").asked()
    somebody.page.get_by_role("link", name="English").click()
    expect(somebody.page.locator("html")).to_have_attribute("lang", "en")
    # The rest of the URL is kept.
    assert "next=x" in somebody.page.url
    somebody.language = "en"
    expect_code_step(somebody)


def test_a_tab_that_has_only_its_storage_comes_back_too(person: MakePerson) -> None:
    somebody = person().open().asked()
    # A new tab gets a copy of the storage of the tab that opens it, and an empty history.
    with somebody.page.context.expect_page() as opened:
        somebody.page.evaluate("window.open('/')")
    page = opened.value
    expect(page.locator("#code")).to_be_focused()
    expect(page.get_by_text(SHOWN, exact=True).filter(visible=True)).to_be_visible()
    expect(page.get_by_role("timer")).to_contain_text(CLOCK)


def test_no_secret_is_kept_with_the_step(person: MakePerson) -> None:
    somebody = person().open().asked()
    somebody.page.keyboard.type(somebody.texted()[:5])
    somebody.page.reload()
    read = "JSON.stringify([history.state, { ...sessionStorage }, { ...localStorage }])"
    kept = somebody.page.evaluate(read)
    assert PHONE in kept
    assert somebody.texted()[:5] not in kept
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    reply = somebody.posts("/otp/verify")[0].response()
    assert reply is not None
    tokens = [reply.json()[name] for name in ("access_token", "refresh_token")]
    kept = somebody.page.evaluate(read)
    assert not any(secret in kept for secret in (somebody.texted(), *tokens))
    # The number is no longer needed.
    assert PHONE not in somebody.page.evaluate("JSON.stringify([history.state, { ...sessionStorage }])")


def test_back_leads_to_the_number_and_the_code_still_works(person: MakePerson) -> None:
    somebody = person().open().asked()
    somebody.page.go_back()
    expect(somebody.phone).to_be_focused()
    expect(somebody.phone).to_have_value(TYPED)
    somebody.page.reload()
    expect(somebody.phone).to_be_focused()
    somebody.phone.fill(TYPED)
    somebody.button("have_code").click()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_a_code_that_has_expired_meanwhile_leads_to_the_number(person: MakePerson) -> None:
    somebody = person().with_clock().open().asked()
    somebody.page.clock.fast_forward(301_000)
    expect(somebody.page.get_by_role("timer")).to_have_text(somebody.say("expired"))
    somebody.page.reload()
    expect(somebody.phone).to_be_focused()
    expect(somebody.phone).to_have_value(SHOWN)


@pytest.mark.parametrize(
    "found",
    [
        "{",
        "null",
        "[]",
        '"text"',
        '{"step":"code"}',
        '{"step":"code","phone":1,"expires":1,"resend":1,"since":1}',
    ],
)
def test_a_text_that_is_not_ours_in_the_storage_does_no_harm(person: MakePerson, found: str) -> None:
    somebody = person()
    somebody.page.add_init_script(f"sessionStorage.setItem('otp-step', {json.dumps(found)})")
    somebody.page.add_init_script(f"localStorage.setItem('otp-devices', {json.dumps(found)})")
    somebody.page.add_init_script(f"localStorage.setItem('otp-session', {json.dumps(found)})")
    somebody.signed_in()


def test_a_resend_is_in_the_same_entry_of_the_history(
    person: MakePerson, emulator: KavenegarEmulator
) -> None:
    somebody = person().with_clock().open().asked()
    somebody.wait(31)
    somebody.button("resend").click()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    assert len(emulator.messages_to(PHONE)) == 2
    somebody.page.go_back()
    expect(somebody.phone).to_be_focused()


def test_the_language_of_a_user_who_is_signed_in_by_cookies_can_change(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    somebody.page.get_by_role("link", name="فارسی").click()
    somebody.language = "fa"
    expect(somebody.greeting).to_be_focused()
