"""Every error in words that tell what to do, each provoked for real; focus goes where the person acts."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, expect

from otp_gateway.api.problems import FRAMEWORK_CODES, STATUS
from tests.browser.conftest import MakePerson, environment
from tests.browser.person import PHONE, TYPED, Person, texts
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

Fragile = Callable[..., tuple[Gateway, RedisServer]]
LANGUAGES = pytest.mark.parametrize("language", ["fa", "en"])
# A page that is as we ship it cannot cause these; "unknown" has words for them.
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
def test_numbers_that_are_none(person: MakePerson, language: str) -> None:
    somebody = person(language).open()
    for typed, code in [
        ("", "phone_missing"),
        ("   ", "phone_missing"),
        ("02188776655", "invalid_phone_number"),
        ("hello", "invalid_phone_number"),
        ("+4915112345678", "unsupported_destination"),
        ("0" * 9000, "payload_too_large"),
    ]:
        somebody.ask(typed)
        somebody.expect_error(code, at=somebody.phone)
    # A good one clears it all.
    somebody.asked()
    expect(somebody.error).to_be_empty()
    assert somebody.page.locator("[aria-invalid]").count() == 0


@LANGUAGES
def test_wrong_codes_until_no_try_is_left(person: MakePerson, language: str) -> None:
    somebody = person(language).open().asked()
    somebody.code.fill(somebody.texted()[:4])
    somebody.button("verify").click()
    somebody.expect_error("code_incomplete", at=somebody.code)
    for left in ({"fa": "۲", "en": "2"}[language], {"fa": "۱", "en": "1"}[language]):
        somebody.enter(somebody.wrong())
        somebody.expect_error("invalid_code", at=somebody.code)
        expect(somebody.error).to_contain_text(left)
        # The wrong code is selected: the next one replaces it.
        assert somebody.page.evaluate("getSelection().toString()") == somebody.wrong()
    somebody.page.keyboard.type(somebody.wrong())
    somebody.expect_error("invalid_code_last", at=somebody.code)

    somebody.page.keyboard.type(somebody.texted())
    somebody.expect_error("tries_spent")
    expect(somebody.error).to_contain_text({"fa": "دقیقه", "en": "minutes"}[language])

    # As the words say: a new code helps.
    somebody.button("resend").click()
    expect(somebody.code).to_be_focused()
    expect(somebody.error).to_be_empty()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_failure_budget_is_spent(person: MakePerson) -> None:
    somebody = person("en").open().asked()
    for _ in range(3):
        somebody.enter(somebody.wrong())
        expect(somebody.error).not_to_be_empty()
    somebody.button("resend").click()
    expect(somebody.code).to_be_focused()
    somebody.enter(somebody.wrong())
    somebody.expect_error("invalid_code_last", at=somebody.code)
    somebody.button("resend").click()
    somebody.expect_error("too_many_attempts")
    # A day less the seconds that have passed: the page rounds either way.
    expect(somebody.error).to_contain_text(re.compile("1 day|24 hours"))
    expect(somebody.page.locator("#resend")).to_be_disabled()


def test_the_phones_window_is_full(person: MakePerson, gateway_of: Callable[[], Gateway]) -> None:
    for _ in range(3):
        assert gateway_of().post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
    somebody = person("fa").open().ask()
    somebody.expect_error("too_many_otp_requests")
    expect(somebody.error).to_contain_text("ثانیه")
    # Another number may pass; its resend button is free.
    somebody.asked("09120000000")
    expect(somebody.page.locator("#resend")).to_be_enabled()


def test_the_window_fills_while_the_person_waits(
    person: MakePerson, gateway_of: Callable[[], Gateway]
) -> None:
    somebody = person().open().asked()
    for _ in range(2):
        assert gateway_of().post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
    somebody.button("resend").click()
    somebody.expect_error("too_many_otp_requests")
    expect(somebody.page.locator("#resend")).to_be_disabled()
    expect(somebody.page.locator("#resend")).to_contain_text("seconds")
    # The code in hand still works.
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_address_asks_too_often(person: MakePerson) -> None:
    somebody = person("fa").open()
    for _ in range(5):
        somebody.ask("hello")
        somebody.expect_error("invalid_phone_number", at=somebody.phone)
    somebody.ask()
    somebody.expect_error("rate_limited")
    expect(somebody.error).to_contain_text("ثانیه")


def test_the_provider_refuses(person: MakePerson, emulator: KavenegarEmulator) -> None:
    somebody = person("en").open()
    emulator.fault = faults.code(418)
    somebody.ask()
    somebody.expect_error("sms_failed")
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
    # It did arrive.
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_no_provider_is_set_up(fragile: Fragile, person: MakePerson) -> None:
    gateway, _ = fragile(KAVENEGAR_API_KEY="")
    somebody = person("en", at=gateway).open().ask()
    somebody.expect_error("sms_not_configured")


def test_redis_stalls_dies_and_comes_back(fragile: Fragile, person: MakePerson) -> None:
    gateway, redis = fragile()
    somebody = person("fa", at=gateway).open()
    redis.pause()
    somebody.ask()
    somebody.expect_error("store_unavailable")
    redis.resume()
    somebody.asked()
    redis.kill()
    somebody.enter(somebody.texted())
    somebody.expect_error("store_unavailable")
    redis.start()
    somebody.button("resend").click()
    expect(somebody.code).to_be_focused()
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_the_gateway_is_gone(fragile: Fragile, person: MakePerson) -> None:
    gateway, _ = fragile()
    somebody = person("fa", at=gateway).signed_in()
    os.killpg(gateway.pid, signal.SIGKILL)
    for action in ("refresh", "sign_out"):
        somebody.button(action).click()
        somebody.expect_error("offline")
        # The session is not thought over because nobody answers.
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
        # The browser lets no page of ours say this; so the request goes out beside it.
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
        somebody.enter(somebody.texted())
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
    words = texts()["en"]["errors"]["invalid_phone_number"]
    assert [text for text in somebody.page.evaluate("window.spoken") if text] == [words, words]


def test_live_regions_stand_in_the_page_from_its_start(person: MakePerson) -> None:
    somebody: Person = person().open()
    for region, role in ((somebody.status, "status"), (somebody.error, "alert")):
        expect(region).to_have_attribute("role", role)
        expect(region).to_be_empty()
        assert region.evaluate("node => getComputedStyle(node).display") != "none"
