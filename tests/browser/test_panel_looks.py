"""On each page of the panel and in each state, axe finds no violation and no element overflows."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from otp_gateway.store import keys
from otp_gateway.store.usage import STORED
from tests.browser.conftest import MakeOperator, Shot
from tests.browser.operator import OPERATOR, TOKENS, USAGE, Callers, Operator, Scheme
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

LANGUAGES = pytest.mark.parametrize("language", ["en", "fa"])
TRAFFIC, ACTIVITY = "/admin/traffic/", "/admin/activity/"
PHONES = {
    "verified": "+989121110001",
    "exhausted": "+989352220002",
    "locked": "+989903330003",
    "active": "+989124440004",
}
# The numbers of codes sent, over a day.
SHAPE = (6, 4, 2, 1, 1, 3, 9, 18, 31, 42, 47, 44, 39, 36, 40, 45, 52, 58, 63, 57, 44, 30, 19, 11)
Look = Callable[[Operator, str], None]
# The pictures of docs/screenshots: state, width, colour scheme.
PICTURES: dict[str, tuple[int, Scheme]] = {
    "login": (320, "dark"),
    "codes": (960, "light"),
    "codes-empty": (320, "light"),
    "phone": (320, "light"),
    "phone-code": (960, "dark"),
    "confirm": (320, "dark"),
    "undo": (960, "light"),
    "usage": (1120, "light"),
    "traffic": (1120, "light"),
    "activity": (960, "light"),
    "phone-fa": (960, "light"),
    "codes-fa": (320, "dark"),
    "usage-narrow": (320, "dark"),
    "unavailable": (320, "light"),
}


@pytest.fixture
def look(shot: Shot) -> Look:
    """Look at a page, and save its picture if docs/screenshots shows it."""

    def at(somebody: Operator, state: str) -> None:
        state += "" if somebody.person.language == "en" else "-fa"
        somebody.look(state)
        for name in {state, f"{state}-narrow"} & PICTURES.keys():
            width, scheme = PICTURES[name]
            if path := shot(f"{name}-{scheme}-{width}"):
                somebody.draw(path, width, scheme)

    return at


@pytest.fixture
def phones(callers: Callers) -> Callers:
    """A phone in each state, by the events that led to it. The last one made the last request."""
    callers.asks(PHONES["verified"])
    callers.enters(PHONES["verified"])
    callers.asks(PHONES["exhausted"])
    callers.fails(PHONES["exhausted"], 3)
    lock(callers, PHONES["locked"])
    callers.asks(PHONES["active"], PHONES["active"])
    callers.fails(PHONES["active"], 1)
    return callers


def lock(callers: Callers, number: str) -> None:
    """Use up the phone's failure budget."""
    callers.asks(number)
    callers.fails(number, 3)
    callers.asks(number)
    callers.fails(number, 1)


@LANGUAGES
def test_the_login_and_the_list(
    operator: MakeOperator,
    emulator: KavenegarEmulator,
    request: pytest.FixtureRequest,
    look: Look,
    language: str,
) -> None:
    somebody = operator(language=language).open()
    say = somebody.say
    look(somebody, "login")
    somebody.give("wrong")
    expect(somebody.alert).to_be_visible()
    look(somebody, "login-wrong")
    emulator.set_fault(faults.code(409), action="account/info")
    somebody.give()
    expect(somebody.heading).to_have_text(say("codes.title"))
    look(somebody, "codes-empty")

    emulator.clear()
    empty_redis: RedisServer = request.getfixturevalue("empty_redis")
    with empty_redis.client() as client:
        client.delete("provider:account:turn")
    request.getfixturevalue("phones")
    somebody.open(TOKENS)
    look(somebody, "codes")
    somebody.search("4440004")
    expect(somebody.page.get_by_text(say("codes.show_all"))).to_be_visible()
    look(somebody, "codes-filtered")
    somebody.choose("state.locked")
    expect(somebody.page.get_by_text(say("codes.none_fit"))).to_be_visible()
    look(somebody, "codes-none")
    somebody.open(TOKENS).search("02188888888")
    expect(somebody.alert).to_be_visible()
    look(somebody, "search-wrong")
    assert somebody.open(f"{TOKENS}nonsense/").status == 404
    look(somebody, "not-found")


@LANGUAGES
def test_a_phone(
    operator: MakeOperator, phones: Callers, empty_redis: RedisServer, look: Look, language: str
) -> None:
    somebody = operator(language=language).signed_in()
    say = somebody.say
    somebody.found(PHONES["locked"])
    expect(somebody.heading).to_contain_text(say("state.locked"))
    look(somebody, "phone-locked")
    somebody.found(PHONES["active"]).choose("phone.show_code")
    expect(somebody.fact(say("phone.the_code"))).to_be_visible()
    look(somebody, "phone-code")
    expect(somebody.page.get_by_text(say("delivery.Queued")).first).to_be_visible()
    look(somebody, "phone")
    somebody.choose("action.void")
    look(somebody, "confirm")
    somebody.choose("action.void")
    expect(somebody.notice).to_be_visible()
    look(somebody, "undo")
    somebody.found("0912 999 99 99")
    look(somebody, "phone-unknown")
    phones.uses_a_device(PHONES["verified"])
    somebody.found(PHONES["verified"])
    expect(somebody.page.get_by_text(say("phone.lane"))).to_be_visible()
    look(somebody, "phone-device")

    somebody.found(PHONES["active"]).choose("action.end-sessions")
    look(somebody, "confirm-final")
    with empty_redis.client() as client:
        client.delete(*client.keys("admin:session:*"))
    somebody.choose("action.end-sessions")
    expect(somebody.heading).to_have_text(say("expired.heading"))
    look(somebody, "expired")
    somebody.open().give()
    expect(somebody.heading).to_have_text(say("codes.title"))
    empty_redis.pause()
    try:
        somebody.open()
    finally:
        empty_redis.resume()
    assert somebody.status == 503
    look(somebody, "unavailable")


@LANGUAGES
def test_usage(operator: MakeOperator, empty_redis: RedisServer, look: Look, language: str) -> None:
    somebody = operator("quiet", language=language).signed_in(USAGE)
    look(somebody, "usage-empty")
    fill_usage(empty_redis)
    somebody.open(USAGE)
    look(somebody, "usage")
    for span in ("hour", "week", "month"):
        somebody.open(f"{USAGE}?span={span}")
        look(somebody, f"usage-{span}")


@LANGUAGES
def test_traffic_pauses_and_activity(
    operator: MakeOperator, named: Callers, empty_redis: RedisServer, look: Look, language: str
) -> None:
    somebody = operator("named", language=language).open(TRAFFIC)
    say = somebody.say
    look(somebody, "login-name")
    somebody.give("wrong", name=OPERATOR)
    expect(somebody.alert).to_be_visible()
    look(somebody, "login-name-wrong")
    somebody.give(name=OPERATOR)
    expect(somebody.page.get_by_text(say("traffic.none")).first).to_be_visible()
    look(somebody, "traffic-empty")
    with empty_redis.client(db=2) as client:
        client.delete(keys.ACTIVITY)
    somebody.open(ACTIVITY)
    expect(somebody.page.get_by_text(say("activity.none"))).to_be_visible()
    look(somebody, "activity-empty")

    named.asks(*(f"+98934{n:07d}" for n in range(25)))
    named.asks(PHONES["verified"])
    named.enters(PHONES["verified"])
    lock(named, PHONES["locked"])
    somebody.open(TRAFFIC)
    expect(somebody.page.get_by_text(say("traffic.pumped")).first).to_be_visible()
    look(somebody, "traffic")
    somebody.press(f"{say('traffic.pause')} +98934")
    expect(somebody.heading).to_have_text(say("pause.prefix"))
    look(somebody, "pause")
    somebody.choose("pause.button.prefix")
    expect(somebody.notice).to_have_text(say("done.pause"))
    look(somebody, "traffic-paused")
    somebody.found(PHONES["locked"]).choose("pause.button.phone")
    expect(somebody.heading).to_have_text(say("pause.phone"))
    look(somebody, "mute")
    somebody.choose("pause.button.phone")
    expect(somebody.notice).to_have_text(say("done.mute"))
    look(somebody, "phone-muted")
    somebody.found(PHONES["locked"]).choose("action.unlock").choose("action.unlock")
    somebody.open(ACTIVITY)
    expect(somebody.page.get_by_text(say("activity.unlock"))).to_be_visible()
    look(somebody, "activity")
    somebody.choose("undo")
    expect(somebody.notice).to_have_text(say("done.undone"))
    look(somebody, "activity-undone")


def fill_usage(server: RedisServer) -> None:
    """A busy week in the quiet panel's database."""
    with server.client(db=1) as client:
        now = int(time.time())
        for span, buckets in STORED.items():
            for back in range(buckets):
                start = now - back * span.step
                sent = SHAPE[start // 3600 % 24] * {"hour": 1, "day": 9, "week": 150}[span.name]
                sent = sent + back % 4 if span.name == "hour" else sent
                counts = {
                    "sent": sent,
                    "verified": sent * (82 + back % 5) // 100,
                    "cost": sent * 120,
                    "verified:invalid_code": sent // 12,
                    "sent:too_many_otp_requests": sent // 30,
                    "sent:sms_failed": sent // 40,
                }
                for name, count in counts.items():
                    client.hincrby(keys.usage(span.stored_as, start), name, count)
