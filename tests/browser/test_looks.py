"""For every eye and ear: axe finds nothing, nothing overflows, in each state, language and colour scheme."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePerson
from tests.browser.person import Person, texts
from tests.support.gateway import ROOT, Gateway

SHOTS = ROOT / "docs" / "screenshots"
AXE = "axe_playwright_python"
# What is looked at, by language, colour scheme and width, and which states docs/screenshots shows.
PICTURES = {
    ("fa", "light", 320): {"phone", "code", "code-error", "user"},
    ("en", "dark", 320): {"phone-error", "sending", "countdown"},
    ("en", "light", 1280): {"phone", "code", "user"},
    ("fa", "dark", 1280): {"phone", "code"},
}


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's source; it goes in through the debugger, so the page's policy stays as it is."""
    return resources.files(AXE).joinpath("axe.min.js").read_text("utf-8")


class Inspector:
    """Looks at one state after the other."""

    def __init__(self, somebody: Person, axe: str, scheme: str, width: int, shots: Path | None) -> None:
        self._somebody, self._axe, self._shots = somebody, axe, shots
        self._scheme, self._width = scheme, width

    def look(self, state: str) -> None:
        """No violation, nothing cut off, nothing beside the screen; a picture where one is wanted."""
        page = self._somebody.page
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
        if self._shots and state in PICTURES[self._somebody.language, self._scheme, self._width]:
            name = f"login-{state}-{self._somebody.language}-{self._scheme}-{self._width}.png"
            # Not the caret, which blinks.
            page.screenshot(path=self._shots / name, caret="hide", animations="disabled")

    def overflow(self, state: str) -> None:
        """Nobody has to scroll sideways, and no text is cut off."""
        wide = self._somebody.page.evaluate(
            """() => [...document.querySelectorAll("html, main, h1, p, label, input, button")]
                 .filter((node) => node.scrollWidth > node.clientWidth && node.clientWidth > 0)
                 .map((node) => node.id || node.tagName)"""
        )
        assert wide == [], state


@pytest.mark.parametrize(("language", "scheme", "width"), PICTURES)
def test_every_state(  # noqa: PLR0917  # pytest passes them by name
    person: MakePerson,
    axe: str,
    pytestconfig: pytest.Config,
    language: str,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    shots = SHOTS if pytestconfig.getoption("--screenshots", default=False) else None
    # The cookies' page has one button more, the call.
    mode = "cookies" if width == 320 else "body"
    somebody = person(language, mode=mode, width=width, color_scheme=scheme).open()
    page = somebody.page
    page.set_viewport_size({"width": width, "height": 640 if width == 320 else 720})
    inspector = Inspector(somebody, axe, scheme, width, shots)
    inspector.look("phone")

    somebody.ask("0912345")
    somebody.expect_error("invalid_phone_number", at=somebody.phone)
    inspector.look("phone-error")

    held = somebody.hold("**/otp")
    somebody.ask()
    expect(somebody.status).to_have_text(somebody.say("sending"))
    inspector.look("sending")
    held.pop().continue_()
    page.unroute("**/otp")
    expect(somebody.code).to_be_focused()
    inspector.look("code")

    somebody.enter(somebody.wrong())
    somebody.expect_error("invalid_code", at=somebody.code)
    inspector.look("code-error")

    for _ in range(2):
        somebody.button("resend").click()
        expect(somebody.code).to_be_focused()
        expect(somebody.status).not_to_be_empty()
    expect(page.locator("#resend")).to_be_disabled()
    inspector.look("countdown")

    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()
    inspector.look("user")

    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    inspector.look("refreshed")


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
