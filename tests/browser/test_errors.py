"""The text of every error says what to do.

Each error is provoked for real; focus goes where the user acts.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, expect

from otp_gateway.api.problems import FRAMEWORK_CODES, STATUS
from tests.browser.conftest import MakePerson, environment
from tests.browser.person import PHONE, TYPED, Person, texts, words
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

Fragile = Callable[..., tuple[Gateway, RedisServer]]
LANGUAGES = pytest.mark.parametrize("language", ["fa", "en"])
# A page that we have not changed cannot cause these; "unknown" has words for them.
NOT_OURS = {"internal_error", "invalid_request"}


@pytest.fixture
def fragile(emulator: KavenegarEmulator) -> Iterator[Fragile]:
    """A gateway and a Redis of the test's own, to break."""
    with RedisServer() as server:
        running: list[Gateway] = []

        def start(**more: str) -> tuple[Gateway, RedisServer]:
            running.append(Gateway(environment(emulator, REDIS_URL=server.url) | more, workers=1))
            running[0].start()
            return running[0], server

        yield start
        for gateway in running:
            gateway.stop()


def test_there_are_words_for_every_code_in_both_languages() -> None:
    codes = {error.code for error in STATUS} | set(FRAMEWORK_CODES.values()) - NOT_OURS
    for language in texts().values():
        assert codes <= set(language["errors"])
    assert texts()["fa"].keys() == texts()["en"].keys()
    assert texts()["fa"]["errors"].keys() == texts()["en"]["errors"].keys()


@LANGUAGES
def test_numbers_that_cannot_be_right_are_reported_without_a_request(
    person: MakePerson, language: str
) -> None:
    somebody = person(language).open()
    for typed, code in [
        ("", "phone_missing"),
        ("   ", "phone_missing"),
        ("hello", "invalid_phone_number"),
        ("0912345", "invalid_phone_number"),
        ("091234567890", "invalid_phone_number"),
        ("02188776655", "invalid_phone_number"),
        ("09123456789 09123456780", "invalid_phone_number"),
        ("+98912345678", "invalid_phone_number"),
        ("0" * 9000, "invalid_phone_number"),
    ]:
        somebody.ask(typed)
        somebody.expect_error(code, at=somebody.phone)
    assert somebody.posts("/otp") == []
    # A correct one removes the fault.
    somebody.asked()
    expect(somebody.error).to_be_empty()
    assert somebody.page.locator("[aria-invalid]").count() == 0


@LANGUAGES
def test_a_number_of_another_country_is_for_the_gateway_to_decide(person: MakePerson, language: str) -> None:
    somebody = person(language).open().ask("+4915112345678")
    somebody.expect_error("unsupported_destination", at=somebody.phone)
    assert len(somebody.posts("/otp")) == 1


@LANGUAGES
def test_wrong_codes_until_no_try_is_left(person: MakePerson, language: str) -> None:
    somebody = person(language).with_clock().open().asked()
    somebody.code.fill(somebody.texted()[:4])
    somebody.button("verify").click()
    somebody.expect_error("code_incomplete", at=somebody.code)
    assert somebody.posts("/otp/verify") == []
    for more, left in enumerate(({"fa": "۲۱", "en": "21"}[language]), 1):
        somebody.enter(somebody.wrong(plus=more))
        somebody.expect_error("invalid_code", at=somebody.code)
        expect(somebody.error).to_contain_text(left)
        # The wrong code is selected: the next one replaces it.
        assert somebody.page.evaluate("getSelection().toString()") == somebody.code.input_value()
    somebody.page.keyboard.type(somebody.wrong(plus=3))
    somebody.expect_error("invalid_code_last", at=somebody.code)

    somebody.page.keyboard.type(somebody.texted())
    somebody.expect_error("tries_spent")
    # The button waits, and shows how long.
    expect(somebody.submit).to_be_disabled()
    expect(somebody.submit).to_have_text(re.compile({"fa": "[۴۵]:[۰-۹]{2}", "en": "[45]:[0-9]{2}"}[language]))

    # As the text says, a new code helps.
    somebody.wait(31)
    somebody.button("resend").click()
    expect(somebody.code).to_be_focused()
    expect(somebody.error).to_be_empty()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_failure_budget_is_used_up(person: MakePerson) -> None:
    somebody = person("en").with_clock().open().asked()
    for more in (1, 2, 3):
        somebody.enter(somebody.wrong(plus=more))
        somebody.expect_error("invalid_code_last" if more == 3 else "invalid_code", at=somebody.code)
    somebody.wait(31)
    somebody.button("resend").click()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    somebody.enter(somebody.wrong())
    somebody.expect_error("invalid_code_last", at=somebody.code)
    somebody.wait(31)
    somebody.button("resend").click()
    somebody.expect_error("too_many_attempts")
    # A day less the seconds that have passed.
    expect(somebody.resend).to_have_text(re.compile("1 day|24 hours"))
    expect(somebody.resend).to_be_disabled()
    # No code of this number can be verified. Another number can.
    somebody.button("change").click()
    expect(somebody.submit).to_be_disabled()
    expect(somebody.submit).to_have_text(re.compile("1 day|24 hours"))
    somebody.asked("09120000000")


@LANGUAGES
def test_a_refused_send_opens_the_field_for_the_code_that_the_user_has(
    person: MakePerson, gateway_of: Callable[[], Gateway], language: str
) -> None:
    for _ in range(3):
        assert gateway_of().post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
    somebody = person(language).open().ask()
    somebody.expect_error("too_many_otp_requests", at=somebody.code, blamed=False)
    expect(somebody.number).to_be_visible()
    expect(somebody.resend).to_be_disabled()
    expect(somebody.resend).to_have_text(
        re.compile({"fa": "(۲:۰۰|۱:[۰-۵][۰-۹])", "en": "(2:00|1:[0-5][0-9])"}[language])
    )
    # Another number has its own wait.
    somebody.button("change").click()
    expect(somebody.submit).to_be_disabled()
    somebody.phone.fill("09120000000")
    expect(somebody.submit).to_be_enabled()
    somebody.phone.fill(TYPED)
    somebody.button("have_code").click()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_window_fills_while_the_person_waits(
    person: MakePerson, gateway_of: Callable[[], Gateway]
) -> None:
    somebody = person().with_clock().open().asked()
    for _ in range(2):
        assert gateway_of().post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
    somebody.wait(31)
    somebody.button("resend").click()
    somebody.expect_error("too_many_otp_requests", at=somebody.code, blamed=False)
    expect(somebody.resend).to_be_disabled()
    # The time that the code has left is still shown.
    expect(somebody.page.get_by_role("timer")).to_have_text(re.compile("Valid for 4:[0-9]{2}"))
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_a_user_with_a_code_needs_no_send(person: MakePerson, gateway_of: Callable[[], Gateway]) -> None:
    assert gateway_of().post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
    somebody = person().open()
    somebody.button("have_code").click()
    somebody.expect_error("phone_missing", at=somebody.phone)
    somebody.phone.fill(TYPED)
    somebody.button("have_code").click()
    expect(somebody.code).to_be_focused()
    expect(somebody.number).to_be_visible()
    expect(somebody.page.get_by_role("timer")).to_be_empty()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    assert somebody.posts("/otp") == []


def test_the_address_asks_too_often(person: MakePerson, gateway_of: Callable[[], Gateway]) -> None:
    for _ in range(5):
        assert gateway_of().post("/api/v1/usr/otp", {"phone_number": "hello"}).status_code == 400
    somebody = person("fa").open().ask()
    somebody.expect_error("rate_limited", at=somebody.code, blamed=False)
    expect(somebody.resend).to_be_disabled()
    # The address has to wait, for any number.
    somebody.button("change").click()
    somebody.phone.fill("09120000000")
    expect(somebody.submit).to_be_disabled()
    expect(somebody.submit).to_have_text(re.compile("(۱:۰۰|۰:[۰-۵][۰-۹])"))


def test_the_address_verifies_too_often(person: MakePerson, gateway_of: Callable[[], Gateway]) -> None:
    somebody = person().with_clock().open().asked()
    for _ in range(5):
        wrong = {"phone_number": PHONE, "code": "1"}
        assert gateway_of().post("/api/v1/usr/otp/verify", wrong).status_code == 400
    somebody.enter(somebody.texted())
    somebody.expect_error("rate_limited")
    expect(somebody.submit).to_be_disabled()
    expect(somebody.submit).to_have_text(re.compile("(1:00|0:[0-5][0-9])"))
    somebody.wait(61)
    expect(somebody.submit).to_be_enabled()
    expect(somebody.submit).to_have_text(somebody.say("verify"))


def test_the_provider_refuses(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person("en").open()
    emulator.fault = faults.code(418)
    somebody.ask()
    # The credit is used up, so an attempt right now would fail too.
    somebody.expect_error("sms_failed")
    expect(somebody.error).to_contain_text("later")
    expect(somebody.phone).to_have_value(TYPED)
    emulator.fault = None
    somebody.button("send").click()
    expect(somebody.code).to_be_focused()


def test_the_provider_hangs(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person("fa").open()
    emulator.fault = faults.hang(deliver=True)
    somebody.ask()
    expect(somebody.error).to_have_text(texts()["fa"]["errors"]["sms_unconfirmed"])
    expect(somebody.code).to_be_focused()
    # The message did arrive.
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_no_provider_is_set_up(fragile: Fragile, person: MakePerson) -> None:
    gateway, _ = fragile(KAVENEGAR_API_KEY="")
    somebody = person("en", at=gateway).open().ask()
    somebody.expect_error("sms_not_configured")


def test_redis_stalls_dies_and_comes_back(fragile: Fragile, person: MakePerson) -> None:
    gateway, redis = fragile()
    somebody = person("fa", at=gateway).with_clock().open()
    redis.pause()
    somebody.ask()
    somebody.expect_error("store_unavailable")
    redis.resume()
    somebody.asked()
    redis.kill()
    somebody.enter(somebody.texted())
    somebody.expect_error("store_unavailable")
    redis.start()
    somebody.wait(31)
    somebody.button("resend").click()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_gateway_is_gone(fragile: Fragile, person: MakePerson) -> None:
    gateway, _ = fragile()
    somebody = person("fa", at=gateway).signed_in()
    os.killpg(gateway.pid, signal.SIGKILL)
    somebody.button("sign_out").click()
    somebody.expect_error("offline")
    # The page does not say that the session has ended.
    expect(somebody.greeting).to_be_visible()


def test_a_gateway_that_never_answers_is_given_up(fragile: Fragile, person: MakePerson) -> None:
    gateway, _ = fragile()
    somebody = person(at=gateway)
    somebody.page.add_init_script(
        "const timeout = AbortSignal.timeout; AbortSignal.timeout = (ms) => timeout.call(AbortSignal, 300);"
    )
    somebody.open()
    os.killpg(gateway.pid, signal.SIGSTOP)
    try:
        somebody.ask()
        somebody.expect_error("offline")
    finally:
        os.killpg(gateway.pid, signal.SIGCONT)
    somebody.page.wait_for_timeout(200)
    somebody.asked()


@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_the_session_is_over(person: MakePerson, empty_redis: RedisServer, mode: str) -> None:
    somebody = person("fa", mode=mode).signed_in()
    empty_redis.clear()
    somebody.button("refresh").click()
    somebody.expect_error("invalid_token")
    expect(somebody.phone).to_be_visible()
    somebody.asked()


def test_another_sites_page(person: MakePerson) -> None:
    somebody = person("fa", mode="cookies").open().asked()

    def from_elsewhere(route: Route) -> None:
        # The browser does not let our page send this header, so this request is sent outside of it.
        headers = {**route.request.headers, "sec-fetch-site": "cross-site"}
        route.fulfill(response=route.fetch(headers=headers))

    somebody.page.route("**/otp/verify", from_elsewhere)
    somebody.enter(somebody.texted())
    somebody.expect_error("cross_origin")


def test_something_between_answers_in_html(person: MakePerson) -> None:
    somebody = person().open().asked()
    statuses = [200, 500, 502]
    somebody.page.route(
        "**/verify", lambda route: route.fulfill(status=statuses.pop(), body="<h1>Hello</h1>")
    )
    while statuses:
        somebody.code.fill("")
        somebody.code.fill(somebody.texted())
        somebody.button("verify").click()
        somebody.expect_error("unknown")
        expect(somebody.code).to_be_visible()


def test_an_error_is_spoken_again_when_it_comes_again(person: MakePerson) -> None:
    somebody = person().open()
    somebody.page.evaluate(
        """() => {
             window.spoken = [];
             new MutationObserver(() => window.spoken.push(document.getElementById("error").textContent))
               .observe(document.getElementById("error"), { childList: true });
           }"""
    )
    for _ in range(2):
        somebody.ask("hello")
        somebody.expect_error("invalid_phone_number", at=somebody.phone)
    spoken = somebody.page.evaluate("window.spoken")
    assert spoken[0] == spoken[2] != spoken[1] == ""
    assert words(texts()["en"]["errors"]["invalid_phone_number"]) in spoken[0]


def test_live_regions_are_in_the_page_from_its_start(person: MakePerson) -> None:
    somebody: Person = person().open()
    for region, role in ((somebody.status, "status"), (somebody.error, "alert")):
        expect(region).to_have_attribute("role", role)
        expect(region).to_be_empty()
        assert region.evaluate("node => getComputedStyle(node).display") != "none"
