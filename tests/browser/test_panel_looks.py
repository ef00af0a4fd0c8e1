"""The panel for every eye: axe finds nothing and nothing overflows, on each page and in each state."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from otp_gateway.store import keys
from otp_gateway.store.usage import STORED
from tests.browser.conftest import MakeOperator, Shot
from tests.browser.operator import TOKENS, USAGE, Callers, Operator, Scheme
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

PHONES = {
    "verified": "+989121110001",
    "exhausted": "+989352220002",
    "locked": "+989903330003",
    "active": "+989124440004",
}
# A day's rise and fall, in codes sent.
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
    """Look at a page, and keep its picture if it is one of those to be shown."""

    def at(somebody: Operator, state: str) -> None:
        somebody.look(state)
        for name in {state, f"{state}-narrow"} & PICTURES.keys():
            width, scheme = PICTURES[name]
            if path := shot(f"{name}-{scheme}-{width}"):
                somebody.draw(path, width, scheme)

    return at


@pytest.fixture
def phones(callers: Callers) -> Callers:
    """A phone in each state, by what happened to it; the last one asked last."""
    callers.asks(PHONES["verified"])
    callers.enters(PHONES["verified"])
    callers.asks(PHONES["exhausted"])
    callers.fails(PHONES["exhausted"], 3)
    callers.asks(PHONES["locked"])
    callers.fails(PHONES["locked"], 3)
    callers.asks(PHONES["locked"])
    callers.fails(PHONES["locked"], 1)
    callers.asks(PHONES["active"], PHONES["active"])
    callers.fails(PHONES["active"], 1)
    return callers


def test_codes_and_a_phone(
    operator: MakeOperator,
    emulator: KavenegarEmulator,
    empty_redis: RedisServer,
    request: pytest.FixtureRequest,
    look: Look,
) -> None:
    somebody = operator().open()
    look(somebody, "login")
    somebody.give("wrong")
    expect(somebody.alert).to_be_visible()
    look(somebody, "login-wrong")
    emulator.set_fault(faults.code(409), action="account/info")
    somebody.give()
    expect(somebody.heading).to_have_text("Codes")
    look(somebody, "codes-empty")

    emulator.clear()
    with empty_redis.client() as client:
        client.delete("provider:account:turn")
    request.getfixturevalue("phones")
    somebody.open(TOKENS)
    look(somebody, "codes")
    somebody.search("02188888888")
    expect(somebody.alert).to_be_visible()
    look(somebody, "search-wrong")

    somebody.search(PHONES["locked"])
    expect(somebody.heading).to_contain_text("locked")
    look(somebody, "phone-locked")
    somebody.found(PHONES["active"]).press("Show the code")
    expect(somebody.fact("The code")).to_be_visible()
    look(somebody, "phone-code")
    somebody.press("Ask the provider")
    expect(somebody.page.get_by_text("Queued").first).to_be_visible()
    look(somebody, "phone")
    somebody.press("Void the code")
    look(somebody, "confirm")
    somebody.press("Void the code")
    expect(somebody.notice).to_be_visible()
    look(somebody, "undo")
    somebody.found("0912 999 99 99")
    look(somebody, "phone-unknown")

    somebody.found(PHONES["active"]).press("End sessions")
    with empty_redis.client() as client:
        client.delete(*client.keys("admin:session:*"))
    somebody.press("End sessions")
    expect(somebody.heading).to_have_text("Your session has ended")
    look(somebody, "expired")
    somebody.open().give()
    expect(somebody.heading).to_have_text("Codes")
    empty_redis.pause()
    try:
        somebody.open()
    finally:
        empty_redis.resume()
    assert somebody.status == 503
    look(somebody, "unavailable")


def test_usage(operator: MakeOperator, empty_redis: RedisServer, look: Look) -> None:
    somebody = operator("quiet").signed_in(USAGE)
    look(somebody, "usage-empty")
    fill_usage(empty_redis)
    somebody.open(USAGE)
    look(somebody, "usage")
    for span in ("hour", "week", "month"):
        somebody.open(f"{USAGE}?span={span}")
        look(somebody, f"usage-{span}")


def test_traffic_activity_and_persian(operator: MakeOperator, phones: Callers, look: Look) -> None:
    phones.asks(*(f"+98934{n:07d}" for n in range(25)))
    somebody = operator().signed_in()
    somebody.found(PHONES["locked"]).press("Unlock").press("Unlock")
    somebody.open("/admin/traffic/")
    expect(somebody.page.get_by_text("looks like SMS pumping").first).to_be_visible()
    look(somebody, "traffic")
    somebody.open("/admin/activity/")
    expect(somebody.page.get_by_text("unlocked the phone")).to_be_visible()
    look(somebody, "activity")
    somebody.found(PHONES["active"]).page.get_by_role("link", name="فارسی").click()
    expect(somebody.page.locator("html")).to_have_attribute("dir", "rtl")
    expect(somebody.page.get_by_text("مانعی نیست")).to_be_visible()
    look(somebody, "phone-fa")
    for name, path in (
        ("codes-fa", TOKENS),
        ("traffic-fa", "/admin/traffic/"),
        ("usage-fa", USAGE),
        ("activity-fa", "/admin/activity/"),
    ):
        somebody.open(path)
        look(somebody, name)


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
