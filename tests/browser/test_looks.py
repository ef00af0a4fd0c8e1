"""In each state, language and colour scheme, axe finds no violation and no element overflows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePerson
from tests.browser.person import Person, texts
from tests.support.gateway import ROOT, Gateway

SHOTS = ROOT / "docs" / "screenshots"
# The states that docs/screenshots shows, by language, colour scheme and width. The test looks at each state.
PICTURES: dict[tuple[str, str, int], set[str]] = {
    ("fa", "light", 320): {"phone", "code", "code-error", "challenge", "user"},
    ("en", "dark", 320): {"phone-error", "sending", "countdown", "challenge"},
    ("en", "light", 390): {"code-half"},
    ("fa", "dark", 390): {"code-error", "refused"},
    ("fa", "light", 768): {"code"},
    ("en", "dark", 768): {"code-error"},
    ("en", "light", 1280): {"phone", "code", "user"},
    ("fa", "dark", 1280): {"phone", "code"},
}
# Each language in each theme, and each width.
FIRST = {("fa", "light", 320), ("fa", "dark", 390), ("en", "dark", 768), ("en", "light", 1280)}
# A challenge that has no solution: the browser works on it until the test has seen it.
ENDLESS = {
    "status": 429,
    "code": "challenge_required",
    "challenge": {
        "parameters": {
            "algorithm": "PBKDF2/SHA-256",
            "cost": 1000,
            "data": {"attempts": 10**6},
            "keyLength": 32,
            "keyPrefix": "ff" * 16,
            "nonce": "00" * 16,
            "salt": "11" * 16,
        }
    },
}


class Inspector:
    """Looks at one state after the other."""

    def __init__(self, somebody: Person, axe: str, scheme: str, width: int, shots: Path | None) -> None:
        self.somebody, self._axe, self._shots = somebody, axe, shots
        self._scheme, self._width = scheme, width
        self._places: dict[str, float] = {}

    def look(self, state: str) -> None:
        """No violation, no element cut off or outside the screen; a picture if one is asked for."""
        page = self.somebody.page
        if not page.evaluate("'axe' in window"):
            page.evaluate(self._axe)
        found: list[dict[str, Any]] = page.evaluate(
            "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)"
        )
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == [], state
        self.overflow(state)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        self.overflow(f"{state}, text at 200%")
        page.evaluate("document.documentElement.style.fontSize = ''")
        if self._shots and state in PICTURES[self.somebody.language, self._scheme, self._width]:
            name = f"login-{state}-{self.somebody.language}-{self._scheme}-{self._width}.png"
            # Not the caret, which blinks.
            page.screenshot(path=self._shots / name, caret="hide", animations="disabled")

    def stays(self, step: str) -> None:
        """The main button of the step is at the same place as the first time."""
        place = self.somebody.submit.bounding_box()
        assert place
        assert place["y"] == self._places.setdefault(step, place["y"])

    def overflow(self, state: str) -> None:
        """No user has to scroll sideways, and no text is cut off."""
        wide = self.somebody.page.evaluate(
            """() => [...document.querySelectorAll("html, main, h1, p, label, input, button")]
                 .filter((node) => node.scrollWidth > node.clientWidth && node.clientWidth > 0)
                 .map((node) => node.id || node.tagName)"""
        )
        assert wide == [], state


@pytest.fixture(
    params=[
        pytest.param(
            picture, id="-".join(map(str, picture)), marks=[] if picture in FIRST else pytest.mark.long
        )
        for picture in PICTURES
    ]
)
def inspector(
    request: pytest.FixtureRequest, person: MakePerson, axe: str, pytestconfig: pytest.Config
) -> Inspector:
    """A user at the page, in each language, colour scheme and width."""
    language, scheme, width = request.param
    shots = SHOTS if pytestconfig.getoption("--screenshots", default=False) else None
    # The page with cookies has one more button, the call.
    mode = "cookies" if width == 320 else "body"
    somebody = person(language, mode=mode, width=width, color_scheme=scheme).with_clock().open()
    somebody.page.set_viewport_size({"width": width, "height": {320: 640, 390: 844}.get(width, 720)})
    return Inspector(somebody, axe, scheme, width, shots)


def test_every_state_of_the_phone_and_of_a_challenge(inspector: Inspector) -> None:
    somebody, page = inspector.somebody, inspector.somebody.page
    inspector.look("phone")
    inspector.stays("phone")

    somebody.ask("0912345")
    somebody.expect_error("invalid_phone_number", at=somebody.phone)
    inspector.look("phone-error")
    inspector.stays("phone")

    held = somebody.hold("**/otp")
    somebody.ask()
    expect(somebody.status).to_have_text(somebody.say("sending"))
    inspector.look("sending")
    inspector.stays("phone")
    held.pop().fulfill(status=429, json=ENDLESS)
    page.unroute("**/otp")
    expect(somebody.status).to_have_text(somebody.say("challenge"))
    somebody.wait(2)
    expect(page.get_by_role("progressbar")).to_be_visible()
    inspector.look("challenge")
    inspector.stays("phone")


def test_every_state_of_the_code_and_of_the_user(inspector: Inspector) -> None:
    somebody, page = inspector.somebody, inspector.somebody.page
    somebody.asked()
    inspector.look("code")
    inspector.stays("code")

    page.keyboard.type(somebody.texted()[:3])
    inspector.look("code-half")
    somebody.enter(somebody.wrong())
    somebody.expect_error("invalid_code", at=somebody.code)
    inspector.look("code-error")
    inspector.stays("code")

    somebody.wait(31)
    somebody.button("resend").click()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    expect(somebody.resend).to_be_disabled()
    inspector.look("countdown")
    inspector.stays("code")

    refusal = {"status": 429, "code": "too_many_otp_requests"}
    wait = {"Retry-After": "110"}
    page.route("**/otp", lambda route: route.fulfill(status=429, json=refusal, headers=wait))
    somebody.wait(31)
    somebody.button("resend").click()
    somebody.expect_error("too_many_otp_requests", at=somebody.code, blamed=False)
    inspector.look("refused")
    inspector.stays("code")
    page.unroute("**/otp")

    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    inspector.look("user")

    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    inspector.look("refreshed")

    somebody.button("sign_out").click()
    expect(somebody.status).to_have_text(somebody.say("signed_out"))
    inspector.look("signed-out")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("language", ["fa", "en"])
def test_no_text_moves_the_button(person: MakePerson, language: str, width: int) -> None:
    somebody = person(language, width=width).open()
    measure = """() => {
        const submit = document.getElementById("submit");
        const tops = new Set();
        for (const text of document.querySelectorAll(".messages [aria-hidden]")) {
          for (const place of ["status", "error"]) {
            document.getElementById(place).textContent = text.textContent.replace(/{\\w+}/, "3");
            tops.add(submit.getBoundingClientRect().top);
            document.getElementById(place).textContent = "";
            tops.add(submit.getBoundingClientRect().top);
          }
        }
        return [document.querySelectorAll(".messages [aria-hidden]").length, tops.size];
    }"""
    texts_of_page = len(texts()[language]["errors"])
    for step in ("phone", "code"):
        if step == "code":
            somebody.asked()
        measured, places = somebody.page.evaluate(measure)
        assert measured > texts_of_page
        assert places == 1


@pytest.mark.parametrize(
    ("browser_speaks", "path", "language"),
    [
        ("fa-IR", "/", "fa"),
        ("fa", "/", "fa"),
        ("en-GB", "/", "en"),
        ("de-DE", "/", "en"),
        ("de-DE", "/?lang=fa", "fa"),
        ("fa-IR", "/?lang=en", "en"),
        ("fa-IR", "/?lang=xx", "fa"),
        ("en-US", "/?lang=", "en"),
    ],
)
def test_the_language_is_the_browsers_unless_chosen(
    gateway_of: Callable[[], Gateway], browser_speaks: str, path: str, language: str
) -> None:
    reply = gateway_of().get(path, headers={"Accept-Language": browser_speaks})
    assert reply.headers["Content-Language"] == language
    assert f'<html lang="{language}" dir="{texts()[language]["dir"]}">' in reply.text
    assert f"<title>{texts()[language]['title']}</title>" in reply.text


def test_the_language_can_be_switched_and_back(person: MakePerson) -> None:
    somebody = person("en").open()
    somebody.page.get_by_role("link", name="فارسی").click()
    expect(somebody.page.locator("html")).to_have_attribute("dir", "rtl")
    expect(somebody.page.get_by_role("link", name="English")).to_have_attribute("lang", "en")
    somebody.page.reload()
    expect(somebody.page.locator("html")).to_have_attribute("lang", "fa")
    somebody.page.get_by_role("link", name="English").click()
    expect(somebody.page.locator("html")).to_have_attribute("dir", "ltr")


@pytest.mark.parametrize("language", ["fa", "en"])
def test_texts_leave_no_blank_unfilled(person: MakePerson, language: str) -> None:
    somebody = person(language).open().asked()
    assert "{" not in somebody.page.locator("body").inner_text()
    assert texts()[language]["dir"] == somebody.page.evaluate("document.dir")
