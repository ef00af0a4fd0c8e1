"""The login page at a gateway whose send gate refuses: the browser solves, or the page says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePerson, environment
from tests.browser.person import PHONE, TYPED, Person
from tests.support.challenges import easy_solution
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

LANGUAGES = pytest.mark.parametrize("language", ["fa", "en"])
OTHERS = [f"+9891200000{n:02d}" for n in range(10)]
# A challenge of the gateway takes a browser some seconds if other tests run at the same time.
SOLVED_MS = 30_000
# The page's own words for its status, in the order in which they were shown.
WATCH = """() => {
    window.shown = [];
    const status = document.getElementById("status");
    new MutationObserver(() => window.shown.push(status.textContent)).observe(status, { childList: true });
}"""


# A gateway for each test: one that runs on would write the credit of an earlier login into this test's Redis.
@pytest.fixture
def guarded(empty_redis: RedisServer, emulator: KavenegarEmulator) -> Iterator[Gateway]:
    """A gateway whose new networks have credit for one send, all together."""
    variables = environment(
        emulator,
        REDIS_URL=empty_redis.url,
        OTP_IP_LIMITS="1000/minute",
        OTP_GATE="on",
        OTP_GATE_CREDIT="1",
    )
    with Gateway(variables, workers=1) as gateway:
        yield gateway


@pytest.fixture
def thrifty(empty_redis: RedisServer, emulator: KavenegarEmulator) -> Iterator[Gateway]:
    """A gateway whose budget is four messages an hour; two of them are for clients without a token."""
    variables = environment(
        emulator, REDIS_URL=empty_redis.url, OTP_IP_LIMITS="1000/minute", OTP_SEND_BUDGET="4/hour"
    )
    with Gateway(variables, workers=1) as gateway:
        yield gateway


def send(gateway: Gateway, phone: str, **more: str) -> int:
    return gateway.post("/api/v1/usr/otp", {"phone_number": phone, **more}).status_code


def expect_paused(somebody: Person) -> None:
    """The page says that no code is sent now, and takes a code that the user has."""
    somebody.expect_error("sending_paused", at=somebody.code, blamed=False)
    expect(somebody.number).to_be_visible()
    # The hour that the gateway names is a hint. The user need not wait for all of it.
    expect(somebody.resend).to_be_disabled()
    expect(somebody.resend).to_have_text(re.compile("[1۱]:[0۰]{2}|[0۰]:[0-5۰-۵][0-9۰-۹]"))


@LANGUAGES
def test_a_stranger_solves_the_gateways_challenge_and_signs_in(
    guarded: Gateway, person: MakePerson, emulator: KavenegarEmulator, language: str
) -> None:
    assert send(guarded, OTHERS[0]) == 200
    assert send(guarded, PHONE) == 429
    somebody = person(language, at=guarded).open()
    somebody.page.evaluate(WATCH)
    somebody.ask()
    expect(somebody.code).to_be_focused(timeout=SOLVED_MS)
    expect(somebody.status).to_have_text(somebody.say("sent"))
    shown = [text for text in somebody.page.evaluate("window.shown") if text]
    assert shown == [somebody.say(key) for key in ("sending", "challenge", "sent")]
    refused, accepted = somebody.posts("/otp")
    assert "challenge" not in json.loads(refused.post_data or "")
    assert "challenge" in json.loads(accepted.post_data or "")
    assert len(emulator.messages_to(PHONE)) == 1
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


@LANGUAGES
def test_a_network_without_challenges_is_told_so_and_a_code_still_signs_in(
    guarded: Gateway, person: MakePerson, language: str
) -> None:
    assert send(guarded, OTHERS[0]) == 200
    for phone in (PHONE, *OTHERS[1:3]):
        assert send(guarded, phone, challenge=easy_solution(phone)) == 200
    somebody = person(language, at=guarded).open().ask()
    expect(somebody.code).to_be_focused(timeout=SOLVED_MS)
    expect_paused(somebody)
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


@LANGUAGES
def test_a_budget_that_is_used_up_stops_strangers_and_no_known_device(
    thrifty: Gateway, person: MakePerson, emulator: KavenegarEmulator, language: str
) -> None:
    owner = person(language, at=thrifty).signed_in()
    owner.button("sign_out").click()
    expect(owner.phone).to_be_focused()
    assert send(thrifty, OTHERS[0]) == 200

    stranger = person(language, at=thrifty).open().ask(OTHERS[1])
    stranger.expect_error("sending_paused", at=stranger.code, blamed=False)
    assert emulator.messages_to(OTHERS[1]) == []
    assert len(stranger.posts("/otp")) == 1
    # Another number fails too, and the page says the same.
    stranger.button("change").click()
    stranger.ask(TYPED)
    expect_paused(stranger)

    owner.asked().enter(owner.texted())
    expect(owner.greeting).to_be_focused()
