"""The code's field is one input over visible cells. It finds the code in any pasted text."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import MakePerson, environment
from tests.browser.person import PERSIAN, Person
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

Paste = Callable[[Person, str], object]
# A browser's paste is an event with the text, or only one insertion (autofill, some keyboards).
WAYS = pytest.mark.parametrize(
    "paste",
    [Person.paste, lambda somebody, text: somebody.page.keyboard.insert_text(text)],
    ids=["pasted", "inserted"],
)


def cells(somebody: Person) -> Locator:
    return somebody.page.locator(".cells span")


def shown(somebody: Person) -> str:
    return "".join(text or "-" for text in cells(somebody).all_inner_texts())


MESSAGES = [
    "{code}",
    " {code} ",
    "{spaced}",
    "{dashed}",
    "{persian}",
    "\u200f{code}\u200e",
    "کد تایید شما: {code}",
    "کد تایید شما: {persian}",
    "کد تایید شما: {code}\n\n@example.com #{code}",
    "Your code is {code}. It expires in 5 minutes. Call 02188776655 for help.",
    "<#> {code} is your code for 12345678\nFA+9qCX9VSu",
    "۱۴۰۵/۰۹/۰۴ ساعت ۱۸:۳۰ کد شما {persian} است و کد {code} اعتبار دارد",
]
UNCLEAR = [
    ("Code {code}, order 765432", "code_ambiguous"),
    ("{code}\n765432", "code_ambiguous"),
    ("Code 12345, order 1234567", "code_not_found"),
    ("1234567", "code_not_found"),
    ("Hello", "code_not_found"),
]


def written(message: str, code: str) -> str:
    spaced, dashed = (f"{code[:3]}{mark}{code[3:]}" for mark in " -")
    return message.format(code=code, spaced=spaced, dashed=dashed, persian=code.translate(PERSIAN))


@WAYS
def test_the_code_is_found_in_a_whole_message(person: MakePerson, paste: Paste) -> None:
    somebody = person().open().asked()
    refusal = {"status": 400, "code": "invalid_code", "attempts_remaining": 2}
    somebody.page.route("**/otp/verify", lambda route: route.fulfill(status=400, json=refusal))
    for number, message in enumerate(MESSAGES, 1):
        code = f"10{number:04d}"
        with somebody.page.expect_request("**/otp/verify") as sent:
            paste(somebody, written(message, code))
        assert json.loads(sent.value.post_data or "")["code"] == code, message
        somebody.expect_error("invalid_code", at=somebody.code)
    assert len(somebody.posts("/otp/verify")) == len(MESSAGES)


@WAYS
def test_a_text_without_one_code_is_not_sent(person: MakePerson, paste: Paste) -> None:
    somebody = person().open().asked()
    for message, fault in UNCLEAR:
        paste(somebody, message.format(code="123456"))
        somebody.expect_error(fault, at=somebody.code)
        expect(somebody.code).to_have_value("")
    assert somebody.posts("/otp/verify") == []
    # The whole SMS as the gateway sends it signs the user in.
    paste(somebody, f"کد تایید شما: {somebody.texted()}\n\n@localhost #{somebody.texted()}")
    expect(somebody.greeting).to_be_focused()


def test_a_paste_replaces_digits_that_were_typed(person: MakePerson) -> None:
    somebody = person().open().asked()
    somebody.page.keyboard.type("12")
    somebody.paste(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_a_refused_value_is_not_sent_again_by_itself(person: MakePerson) -> None:
    somebody = person().open().asked()
    wrong = somebody.wrong()
    # Autofill can fire twice: at once, and again when the first answer has arrived.
    held = somebody.hold("**/otp/verify")
    somebody.code.fill(wrong)
    somebody.code.fill(wrong)
    held.pop().continue_()
    somebody.page.unroute("**/otp/verify")
    somebody.expect_error("invalid_code", at=somebody.code)
    somebody.code.fill(wrong)
    somebody.code.fill("")
    somebody.code.fill(wrong)
    somebody.page.wait_for_load_state("networkidle")
    assert len(somebody.posts("/otp/verify")) == 1
    # The user may submit the same value again.
    somebody.button("verify").click()
    somebody.expect_error("invalid_code", at=somebody.code)
    assert len(somebody.posts("/otp/verify")) == 2
    # Another value is submitted automatically.
    somebody.code.fill(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_six_cells_show_the_digits_of_the_pages_language(person: MakePerson) -> None:
    somebody = person("fa").open().asked()
    expect(cells(somebody)).to_have_count(6)
    somebody.page.keyboard.type("120")
    assert shown(somebody) == "۱۲۰---"
    expect(somebody.code).to_have_value("120")
    expect(cells(somebody).nth(3)).to_have_class("caret")
    # Cells and input are read as one field.
    expect(somebody.code).to_have_accessible_name(somebody.say("code_label"))
    assert cells(somebody).first.get_attribute("aria-hidden") == "true"


def test_a_letter_does_nothing_and_a_digit_too_many_neither(person: MakePerson) -> None:
    somebody = person().open().asked()
    somebody.page.keyboard.type("1a2 b3-")
    assert shown(somebody) == "123---"
    expect(somebody.error).to_be_empty()
    held = somebody.hold("**/otp/verify")
    somebody.page.keyboard.type("4567")
    assert shown(somebody) == "123456"
    assert len(held) == 1


def test_a_click_on_a_cell_replaces_its_digit(person: MakePerson) -> None:
    somebody = person().open().asked()
    code = somebody.texted()
    typo = f"{code[:2]}{(int(code[2]) + 1) % 10}{code[3:]}"
    somebody.page.keyboard.type(typo)
    somebody.expect_error("invalid_code", at=somebody.code)
    cells(somebody).nth(2).click(force=True)
    expect(cells(somebody).nth(2)).to_have_class("marked")
    somebody.page.keyboard.type(code[2])
    expect(somebody.greeting).to_be_focused()


def test_the_field_is_edited_with_the_usual_keys(person: MakePerson) -> None:
    somebody = person().open().asked()
    keyboard = somebody.page.keyboard
    keyboard.type("12345")
    keyboard.press("Backspace")
    assert shown(somebody) == "1234--"
    keyboard.press("Home")
    keyboard.press("Delete")
    assert shown(somebody) == "234---"
    expect(cells(somebody).nth(0)).to_have_class("caret")
    keyboard.type("9")
    assert shown(somebody) == "9234--"
    expect(cells(somebody).nth(1)).to_have_class("caret")


def test_a_code_of_another_length_has_as_many_cells(
    person: MakePerson, redis_server: RedisServer, running_emulator: KavenegarEmulator
) -> None:
    variables = environment(running_emulator, REDIS_URL=redis_server.url, OTP_LENGTH="8")
    with Gateway(variables, workers=1) as gateway:
        somebody = person(at=gateway).open().asked()
        expect(cells(somebody)).to_have_count(8)
        expect(somebody.page.locator("#code-intro")).to_contain_text("8-digit")
        somebody.paste(f"Order 123456. Your code is {somebody.texted()}")
        expect(somebody.greeting).to_be_focused()
