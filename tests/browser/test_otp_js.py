"""otp.js: its types, lost replies, and one refresh for all tabs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from otp_gateway.api.problems import FRAMEWORK_CODES, STATUS
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.browser.conftest import MakePerson
from tests.browser.person import PHONE, Person
from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

STATIC = ROOT / "otp_gateway" / "pages" / "static"
SCRIPT = (STATIC / "otp.js").read_text(encoding="utf-8")
TYPES = (STATIC / "otp.d.ts").read_text(encoding="utf-8")
FEW_COUNTERS = Codes(SECRET_KEY, 6).pid(PhoneNumber(PHONE))
# An error of the page's own call, as JSON can carry it.
CATCH = ".then((value) => ({ value }), (problem) => ({ code: problem.code, ...problem }))"


def test_the_script_has_at_most_six_kilobytes_and_loads_nothing_but_the_solver() -> None:
    assert len(SCRIPT.encode()) <= 6 * 1024
    assert "import" not in SCRIPT
    assert re.findall(r'"([^"]+\.js)"', SCRIPT) == ["challenge.js"]


def test_the_types_name_each_method_and_each_code(person: MakePerson) -> None:
    of_class, _, _ = TYPES.partition("declare namespace")
    declared = set(re.findall(r"^  (?:readonly )?(\w+)[(:]", of_class, re.MULTILINE))
    defined = set(person().open().page.evaluate("Object.getOwnPropertyNames(OTP.prototype)"))
    assert declared == defined
    ours = {"offline", "unknown"}
    codes = {error.code for error in STATUS} | set(FRAMEWORK_CODES.values())
    codes |= {"unsupported_media_type", "sending_paused"}
    assert set(re.findall(r'^    \| "(\w+)"', TYPES, re.MULTILINE)) == codes | ours


def test_a_lost_reply_costs_no_second_sms_and_no_second_try(
    person: MakePerson, emulator: KavenegarEmulator
) -> None:
    somebody = person().open()
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        # The gateway answers, and the reply does not arrive.
        if route.request.url not in lost:
            lost.append(route.request.url)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    somebody.page.route("**/otp", lose_the_first)
    somebody.page.route("**/otp/verify", lose_the_first)
    somebody.asked()
    assert len(emulator.messages_to(PHONE)) == 1
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    for path in ("/otp", "/otp/verify"):
        keys = [request.headers["idempotency-key"] for request in somebody.posts(path)]
        assert len(keys) == 2
        assert keys[0] == keys[1]
    somebody.faults.clear()  # the browser reports the aborted request


def test_a_reply_that_ends_in_its_middle_counts_as_lost(person: MakePerson) -> None:
    somebody = person().open()
    script = """
        const real = window.fetch;
        let cut = true;
        window.fetch = async (...options) => {
          const reply = await real(...options);
          if (cut) { cut = false; reply.text = () => Promise.reject(new TypeError("network error")); }
          return reply;
        };
        0;
    """
    somebody.page.evaluate(script)
    somebody.asked()
    assert len(somebody.posts("/otp")) == 2


def second_tab(somebody: Person) -> Page:
    page = somebody.page.context.new_page()
    page.goto(somebody.home)
    page.wait_for_function("'OTP' in window")
    return page


def refreshed(pages: list[Page], options: str = "{}") -> tuple[list[dict[str, Any]], int]:
    """The outcomes of pages that all call refresh() before the first reply, and the number of requests."""
    held: list[Route] = []
    open_now = False

    def hold(route: Route) -> None:
        held.append(route)
        if open_now:
            route.continue_()

    context = pages[0].context
    context.route("**/token/refresh", hold)
    for page in pages:
        page.evaluate(f"window.outcome = (window.client ??= new OTP({options})).refresh(){CATCH}; 0")
    pages[0].wait_for_timeout(500)
    open_now = True
    waiting = [*held]
    for route in waiting:
        route.continue_()
    outcomes = [page.evaluate("window.outcome") for page in pages]
    context.unroute("**/token/refresh")
    return outcomes, len(held)


def test_tabs_that_refresh_at_once_make_one_request(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    tabs = [somebody.page, second_tab(somebody)]
    (first, second), requests = refreshed(tabs)
    assert first == second
    assert first["value"]["user"]["phone_number"] == PHONE
    assert requests == 1
    # Later, there is something to refresh again.
    again, requests = refreshed(tabs[1:])
    assert again[0]["value"]["at"] > first["value"]["at"]
    assert requests == 1


def test_calls_in_one_page_make_one_request(person: MakePerson) -> None:
    somebody = person(mode="cookies").signed_in()
    many = "const otp = new OTP(); Promise.all(Array.from({ length: 5 }, () => otp.refresh()))"
    results = somebody.page.evaluate(f"(async () => {{ {many.replace('Promise', 'return Promise')} }})()")
    assert len({json.dumps(session) for session in results}) == 1
    assert len(somebody.posts("/token/refresh")) == 1


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_a_session_of_the_browser_is_shared_by_tabs_and_later_pages(person: MakePerson, locks: bool) -> None:
    somebody = person()
    if not locks:
        somebody.page.context.add_init_script(
            "Object.defineProperty(navigator, 'locks', { value: undefined })"
        )
    somebody.open()
    options = '{ keep: "browser" }'
    somebody.page.evaluate(f"window.client = new OTP({options}); client.sendOTP('{PHONE}')")
    somebody.page.evaluate(f"client.verifyOTP('{PHONE}', '{somebody.texted()}')")
    tabs = [somebody.page, second_tab(somebody)]
    tabs[1].evaluate(f"window.client = new OTP({options}); 0")
    assert tabs[1].evaluate("client.me().then((user) => user.phone_number)") == PHONE
    for _ in range(2):
        (first, second), requests = refreshed(tabs, options)
        # Without locks, the gateway gives both the same tokens.
        assert first["value"]["refresh_token"] == second["value"]["refresh_token"]
        assert requests == (1 if locks else 2)
    # A sign-out in one tab is one in all.
    tabs[1].evaluate("client.signOut()")
    assert somebody.page.evaluate("client.session ?? null") is None
    assert refreshed(tabs[:1], options)[0][0]["code"] == "invalid_token"


def test_a_frozen_tab_that_holds_the_lock_does_not_stop_the_others(person: MakePerson) -> None:
    somebody = person(mode="cookies")
    somebody.page.context.add_init_script(
        "const timeout = AbortSignal.timeout; AbortSignal.timeout = (ms) =>"
        " timeout.call(AbortSignal, ms === 10_000 ? 300 : ms);"
    )
    somebody.signed_in()
    other = second_tab(somebody)
    other.evaluate("navigator.locks.request('otp-session', () => new Promise(() => {})); 0")
    assert refreshed([somebody.page])[0][0]["value"]["user"]["phone_number"] == PHONE


def test_an_ended_session_is_forgotten(person: MakePerson, empty_redis: RedisServer) -> None:
    somebody = person(mode="cookies").signed_in()
    with empty_redis.client() as client:
        client.flushall()
    assert refreshed([somebody.page])[0][0]["code"] == "invalid_token"
    assert somebody.page.evaluate("localStorage.getItem('otp-session')") is None
