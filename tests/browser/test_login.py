"""The user flow: phone, code, signed in, and out again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePerson, Mode
from tests.browser.person import PERSIAN, PHONE, TYPED
from tests.support.kavenegar import KavenegarEmulator


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("mode", ["body", "cookies"])
@pytest.mark.parametrize("language", ["fa", "en"])
def test_phone_code_signed_in_refresh_out(person: MakePerson, language: str, mode: Mode, width: int) -> None:
    somebody = person(language, mode=mode, width=width).open()
    page = somebody.page
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", {"fa": "rtl", "en": "ltr"}[language])

    somebody.asked()
    expect(page.get_by_role("heading", name=somebody.say("code_title"))).to_be_visible()
    expect(somebody.number).to_be_visible()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    expect(page.get_by_role("timer")).to_have_text(
        re.compile(re.escape(somebody.say("valid_for")).replace(r"\{time\}", "(4|۴|5|۵):[0-9۰-۹]{2}"))
    )
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    expect(somebody.number).to_be_visible()
    expect(somebody.phone).to_be_hidden()
    expect(somebody.code).to_be_hidden()
    assert len(somebody.posts("/otp/verify")) == 1

    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))

    somebody.button("sign_out").click()
    expect(somebody.status).to_have_text(somebody.say("signed_out"))
    expect(somebody.phone).to_be_focused()
    # A sign-out ends the session. The browser stays a known device.
    kept = [cookie.get("name") for cookie in page.context.cookies()]
    assert kept == (["__Secure-device"] if mode == "cookies" else [])


def test_tokens_in_the_body_stay_in_memory(person: MakePerson) -> None:
    somebody = person().signed_in()
    kept = somebody.page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    answer = somebody.posts("/otp/verify")[0].response()
    assert answer is not None
    token = answer.json()["refresh_token"]
    assert answer.json()["access_token"] not in kept
    assert token not in kept
    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    somebody.button("sign_out").click()
    expect(somebody.phone).to_be_focused()
    assert somebody.posts("/token/refresh")[0].post_data_json == {"refresh_token": token}
    # The newest refresh token is revoked.
    assert somebody.posts("/token/revoke")[0].post_data_json != {"refresh_token": token}


def test_with_cookies_no_token_reaches_the_script(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    answer = somebody.posts("/otp/verify")[0].response()
    assert answer is not None
    assert "ey" not in answer.text()
    assert somebody.page.evaluate("document.cookie") == ""
    cookies = {c.get("name"): c for c in somebody.page.context.cookies()}
    assert sorted(map(str, cookies)) == ["__Host-access", "__Secure-device", "__Secure-refresh"]
    assert all(c.get("secure") and c.get("httpOnly") for c in cookies.values())


def test_a_reload_keeps_the_session_with_cookies(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    somebody.page.reload()
    expect(somebody.greeting).to_be_focused()
    expect(somebody.number).to_be_visible()
    assert somebody.posts("/token/refresh") == []


def test_a_reload_after_the_access_tokens_end_refreshes(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    expired = {"status": 401, "code": "invalid_token"}
    somebody.page.route("**/me", lambda route: route.fulfill(status=401, json=expired))
    somebody.page.reload()
    expect(somebody.greeting).to_be_focused()
    assert len(somebody.posts("/token/refresh")) == 1


def test_a_first_visit_with_cookies_asks_who_it_is_and_no_more(person: MakePerson) -> None:
    somebody = person(mode="cookies").open()
    somebody.page.wait_for_load_state("networkidle")
    asked = [request.url.removeprefix(somebody.home) for request in somebody.seen]
    assert [path for path in asked if path.startswith("/api")] == ["/api/v1/usr/me"]
    expect(somebody.error).to_be_empty()
    expect(somebody.phone).to_be_visible()


def test_signing_out_ends_the_reload_too(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    somebody.button("sign_out").click()
    expect(somebody.status).to_have_text(somebody.say("signed_out"))
    somebody.page.reload()
    somebody.page.wait_for_load_state("networkidle")
    expect(somebody.phone).to_be_visible()
    assert somebody.posts("/token/refresh") == []


def test_a_number_in_any_format(person: MakePerson) -> None:
    somebody = person("fa").open()
    for typed in ("۰۹۱۲۳۴۵۶۷۸۹", "٠٩١٢٣٤٥٦٧٨٩", "+98 912 345 67 89"):
        somebody.asked(typed)
        expect(somebody.number).to_be_visible()
        somebody.button("change").click()


def test_a_code_in_persian_digits(person: MakePerson) -> None:
    somebody = person("fa").open().asked()
    somebody.enter(somebody.texted().translate(PERSIAN))
    expect(somebody.greeting).to_be_focused()


def test_browsers_may_offer_number_and_code(person: MakePerson) -> None:
    somebody = person().open()
    expect(somebody.phone).to_have_attribute("autocomplete", "tel")
    somebody.asked()
    expect(somebody.code).to_have_attribute("autocomplete", "one-time-code")
    expect(somebody.code).to_have_attribute("inputmode", "numeric")


WEB_OTP = """
    window.OTPCredential = class {};
    window.asked = [];
    navigator.credentials.get = (options) => new Promise((resolve, reject) => {
      window.asked.push(options.otp);
      window.arrive = (code) => resolve({ code });
      options.signal.addEventListener("abort", () => reject(window.aborted = options.signal.reason));
    });
"""


def test_web_otp_signs_in_by_itself(person: MakePerson) -> None:
    somebody = person()
    somebody.page.add_init_script(WEB_OTP)
    somebody.open().asked()
    assert somebody.page.evaluate("window.asked") == [{"transport": ["sms"]}]
    somebody.page.evaluate("code => window.arrive(code)", somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_web_otp_ends_with_its_step(person: MakePerson) -> None:
    somebody = person()
    somebody.page.add_init_script(WEB_OTP)
    somebody.signed_in()
    assert somebody.page.evaluate("window.aborted.name") == "AbortError"
    assert len(somebody.posts("/otp/verify")) == 1


def test_two_presses_send_once(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person().open()
    somebody.phone.fill(TYPED)
    somebody.button("send").dblclick()
    expect(somebody.code).to_be_focused()
    somebody.page.wait_for_load_state("networkidle")
    assert len(somebody.posts("/otp")) == 1
    assert len(emulator.messages_to(PHONE)) == 1


def test_a_second_submit_of_the_code_waits_for_the_first(person: MakePerson) -> None:
    somebody = person().open().asked()
    held = somebody.hold("**/otp/verify")
    somebody.enter(somebody.texted())
    expect(somebody.status).to_have_text(somebody.say("verifying"))
    somebody.button("verify").click()
    somebody.page.keyboard.press("Enter")
    held.pop().continue_()
    expect(somebody.greeting).to_be_focused()
    assert len(somebody.posts("/otp/verify")) == 1


def test_a_resend_is_offered_after_30_seconds_at_the_earliest(
    person: MakePerson, emulator: KavenegarEmulator
) -> None:
    somebody = person("fa").with_clock().open().asked()
    for expected in (2, 3):
        expect(somebody.resend).to_be_disabled()
        expect(somebody.resend).to_have_text(re.compile("۰:(۳۰|۲[۰-۹])"))
        somebody.wait(31)
        somebody.button("resend").click()
        expect(somebody.status).to_have_text(somebody.say("sent"))
        expect(somebody.code).to_be_focused()
        assert len(emulator.messages_to(PHONE)) == expected
    # The window of two minutes is full now. The clock of the gateway has not moved.
    expect(somebody.resend).to_be_disabled()
    expect(somebody.resend).to_have_text(re.compile("(۲:۰۰|۱:۵[۰-۹])"))
    somebody.wait(60)
    expect(somebody.resend).to_have_text(re.compile("(۱:۰۰|۰:۵[۰-۹])"))
    somebody.wait(61)
    expect(somebody.resend).to_be_enabled()
    expect(somebody.resend).to_have_text(somebody.say("resend"))


def test_a_call_reads_the_code_out(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person(mode="cookies").with_clock().open().asked()
    somebody.wait(31)
    somebody.button("call").click()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    assert [message.type for message in emulator.messages_to(PHONE)] == ["sms", "call"]
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_a_call_is_offered_only_where_there_are_calls(person: MakePerson) -> None:
    somebody = person().open().asked()
    expect(somebody.button("call")).to_have_count(0)


def test_change_the_number(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person().open().asked("09120000000")
    somebody.button("change").click()
    expect(somebody.phone).to_be_focused()
    expect(somebody.phone).to_have_value("09120000000")
    expect(somebody.status).to_be_empty()
    # The old number is selected: typing replaces it.
    somebody.page.keyboard.type(TYPED)
    somebody.page.keyboard.press("Enter")
    expect(somebody.code).to_be_focused()
    expect(somebody.number).to_be_visible()
    assert [message.receptor for message in emulator.messages] == ["+989120000000", PHONE]


def test_the_keyboard_is_enough(person: MakePerson) -> None:
    somebody = person().with_clock().open()
    page, keyboard = somebody.page, somebody.page.keyboard

    def tab_to(name: str, key: str = "Tab") -> None:
        keyboard.press(key)
        assert name == page.evaluate(
            "(({ ariaLabel, innerText, id }) => ariaLabel || innerText || id)(document.activeElement)"
        )
        if name != "code":  # its cells show where it is
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    # Focus is where the user starts to type.
    expect(somebody.phone).to_be_focused()
    tab_to("فارسی", "Shift+Tab")
    tab_to("phone")
    keyboard.press("Enter")
    somebody.expect_error("phone_missing", at=somebody.phone)
    keyboard.type(TYPED)
    tab_to(somebody.say("send"))
    tab_to(somebody.say("have_code"))
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    expect(somebody.code).to_be_focused()
    somebody.wait(31)
    tab_to(somebody.say("verify"))
    tab_to(somebody.say("resend"))
    tab_to(somebody.say("verify"), "Shift+Tab")
    tab_to("code", "Shift+Tab")
    tab_to(somebody.say("change"), "Shift+Tab")
    tab_to("code")
    keyboard.type(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    tab_to("forget")
    keyboard.press("Space")
    tab_to(somebody.say("sign_out"))
    tab_to(somebody.say("refresh"))
    keyboard.press("Enter")
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    expect(somebody.status).to_have_text(somebody.say("forgotten"))
    expect(somebody.phone).to_be_focused()
