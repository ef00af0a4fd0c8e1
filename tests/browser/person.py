"""A user of the login page: a browser page, and what its user does and sees."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Route, expect

import otp_gateway.pages
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator

PHONE = "+989123456789"
TYPED = "09123456789"
SHOWN = "0912 345 6789"
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
# Long, because a browser is slow while other tests use the processor. It takes no time if all is well.
TIMEOUT_MS = 15_000
# The browser's own log line for every reply of 400 and above.
FAILED_RESOURCE = "Failed to load resource"


@cache
def texts() -> dict[str, Any]:
    """The page's words, by language."""
    found: dict[str, Any] = json.loads(
        resources.files(otp_gateway.pages).joinpath("texts.json").read_text("utf-8")
    )
    return found


def words(template: str) -> str:
    """The longest part of a text that has no placeholder."""
    pieces = template.replace("{", "}").split("}")[::2]
    return max(pieces, key=len).strip()


class Person:
    """One browser page at one gateway.

    ``seen``: every request; ``faults``: violations of the page's rules.
    """

    def __init__(self, page: Page, gateway: Gateway, emulator: KavenegarEmulator, language: str) -> None:
        self.page = page
        self.language = language
        self.home = f"http://localhost:{gateway.port}"
        self.seen: list[Request] = []
        self.faults: list[str] = []
        self.allowed = {self.home}
        self._emulator = emulator
        page.set_default_timeout(TIMEOUT_MS)
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))

    # Actions.

    def open(self, path: str = "/") -> Person:
        """Go to the page."""
        self.page.goto(self.home + path)
        return self

    def ask(self, number: str = TYPED) -> Person:
        """Type a number and submit it."""
        self.phone.fill(number)
        self.page.keyboard.press("Enter")
        return self

    def paste(self, text: str) -> Person:
        """Paste a text into the field that has focus."""
        self.page.evaluate(
            """(text) => {
                 const clipboardData = new DataTransfer();
                 clipboardData.setData("text/plain", text);
                 const options = { clipboardData, bubbles: true, cancelable: true };
                 document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
               }""",
            text,
        )
        return self

    def enter(self, code: str) -> Person:
        """Type a code, digit by digit; the last one submits it."""
        self.code.fill("")
        self.code.press_sequentially(code)
        return self

    def asked(self, number: str = TYPED) -> Person:
        """Request a code, up to the code's step."""
        self.ask(number)
        expect(self.code).to_be_focused()
        return self

    def signed_in(self) -> Person:
        """Go through the whole flow, up to the greeting."""
        self.open().asked().enter(self.texted())
        expect(self.greeting).to_be_focused()
        return self

    def hold(self, pattern: str) -> list[Route]:
        """Hold back such requests from now on; the list collects them."""
        held: list[Route] = []

        def keep(route: Route) -> None:
            held.append(route)

        self.page.route(pattern, keep)
        return held

    # What the user sees.

    @property
    def phone(self) -> Locator:
        return self.page.get_by_label(self.say("phone_label"), exact=True)

    @property
    def code(self) -> Locator:
        return self.page.get_by_label(self.say("code_label"), exact=True)

    @property
    def greeting(self) -> Locator:
        return self.page.get_by_role("heading", name=self.say("signed_in"))

    @property
    def error(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def number(self) -> Locator:
        """The person's number as the page shows it: in the format of Iran and with the page's digits."""
        shown = SHOWN.translate(PERSIAN) if self.language == "fa" else SHOWN
        return self.page.get_by_text(shown, exact=True).filter(visible=True)

    @property
    def resend(self) -> Locator:
        """The button that sends a code again, whether or not it has to wait."""
        return self.page.locator("#resend")

    @property
    def submit(self) -> Locator:
        """The main button of the step."""
        return self.page.locator("#submit")

    def wait(self, seconds: int) -> Person:
        """Let the page's clock run; the test has called ``with_clock``."""
        self.page.clock.run_for(seconds * 1000)
        return self

    def with_clock(self) -> Person:
        """From now on, the page's clock can be moved forward."""
        self.page.clock.install()
        return self

    def button(self, key: str) -> Locator:
        """A button by the key of its text."""
        return self.page.get_by_role("button", name=self.say(key), exact=True)

    def say(self, key: str) -> str:
        """A text of the page's language."""
        return str(texts()[self.language][key])

    def expect_error(self, code: str, *, at: Locator | None = None, blamed: bool = True) -> None:
        """The alert has this error's words, and focus is on the field ``at``, otherwise on the alert.

        ``blamed``: the field is marked as wrong.
        """
        expect(self.error).to_contain_text(words(texts()[self.language]["errors"][code]))
        expect(self.status).to_be_empty()
        assert "{" not in self.error.inner_text()
        for field in (self.page.locator("#phone"), self.page.locator("#code")):
            invalid = at is not None and blamed and at.get_attribute("id") == field.get_attribute("id")
            assert field.get_attribute("aria-invalid") == ("true" if invalid else None)
        expect(at or self.error).to_be_focused()
        if at:
            expect(at).to_have_accessible_description(
                re.compile(re.escape(self.error.inner_text().strip()) + "$")
            )

    def texted(self) -> str:
        """The code in the last message."""
        return self._emulator.code_for(PHONE)

    def wrong(self, plus: int = 1) -> str:
        """A code other than the one in the message; a different ``plus`` gives a different code."""
        return f"{(int(self.texted()) + plus) % 10**6:06d}"

    def posts(self, path: str) -> list[Request]:
        """The posts to one of the API's paths."""
        return [r for r in self.seen if r.method == "POST" and urlsplit(r.url).path == f"/api/v1/usr{path}"]

    def _note_request(self, request: Request) -> None:
        self.seen.append(request)
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" not in self.allowed:
            self.faults.append(f"left the origin: {request.url}")

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED_RESOURCE):
            self.faults.append(f"console: {message.text}")
