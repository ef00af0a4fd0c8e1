"""An operator who uses the admin panel, and the people whose phones the panel shows."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import requests
from playwright.sync_api import Locator, Page, Request, Response, expect
from werkzeug.security import generate_password_hash

from otp_gateway.support.words import words_of
from tests.browser.person import Person
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator

OPERATOR, PASSWORD = "sara", "correct horse battery staple"
# A hash that is cheap to check: these tests do not test its strength.
PASSWORD_HASH = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
TOKENS = "/admin/accounts/otptoken/"
USAGE = "/admin/usage/"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
WIDE, NARROW = 1280, 320
# The maximum height and area of a picture in pixels.
TALLEST, LARGEST = 1200, 640_000
Scheme = Literal["light", "dark"]
LOOKS: tuple[tuple[int, Scheme], ...] = ((WIDE, "light"), (NARROW, "dark"))


class Operator:
    """One browser at the panel. ``replies``: every page that came, with its status."""

    def __init__(self, person: Person, axe: str) -> None:
        self.person = person
        # The panel's text by key, in the operator's language.
        self.say = words_of("fa" if person.language == "fa" else "en")
        self.page: Page = person.page
        self.replies: list[Response] = []
        self._axe = axe
        self.page.on("response", self._note)

    # Actions.

    def open(self, path: str = TOKENS) -> Operator:
        """Go to one of the panel's pages."""
        self.person.open(path)
        return self

    def give(self, password: str = PASSWORD, *, name: str = "") -> Operator:
        """Type the password, and the name if there is one, and send both."""
        if name:
            self.page.get_by_label(self.say("login.name")).fill(name)
        self.page.get_by_label(self.say("login.password")).fill(password)
        self.page.keyboard.press("Enter")
        return self

    def signed_in(self, path: str = TOKENS) -> Operator:
        """Go to a page through the login."""
        self.open(path).give()
        expect(self.page.get_by_role("button", name=self.say("sign_out"))).to_be_visible()
        return self

    def search(self, number: str) -> Operator:
        """Look for a number on the list's page."""
        self.page.get_by_role("searchbox").fill(number)
        self.page.get_by_role("button", name=self.say("search.find")).click()
        return self

    def found(self, number: str) -> Operator:
        """Go to a phone's page by its number."""
        self.open().search(number)
        expect(self.page.get_by_role("heading", name=self.say("phone.sends"))).to_be_visible()
        return self

    def press(self, name: str) -> Operator:
        """Press a button or follow a link that looks like one."""
        button = self.page.get_by_role("button", name=name, exact=True)
        # The first one: an action that helps is also next to the sentence about the user.
        self.page.get_by_role("link", name=name, exact=True).or_(button).first.click()
        return self

    def choose(self, key: str) -> Operator:
        """Press a button or follow a link by the key of its text."""
        return self.press(self.say(key))

    # What the operator sees.

    @property
    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def notice(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def headline(self) -> Locator:
        """The first sentence about a phone's user."""
        return self.page.locator(".headline")

    @property
    def status(self) -> int:
        """The HTTP status of the current page."""
        return self.replies[-1].status

    def fact(self, name: str) -> Locator:
        """The value of one fact on a phone's page."""
        term = self.page.get_by_role("term").filter(has_text=re.compile(f"^{re.escape(name)}$"))
        return self.page.locator("dl > div", has=term).get_by_role("definition")

    def rows(self) -> list[dict[str, str]]:
        """The list's rows, as values by column."""
        return rows_of(self.page.get_by_role("table"))

    # Rules that no page may break.

    def look(self, state: str) -> None:
        """Wide and light, narrow and dark: axe finds no violation, and no element is cut off."""
        assert self.replies[-1].headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        self.page.evaluate(self._axe)
        for width, scheme in LOOKS:
            self._turn(width, scheme)
            where = f"{state}, {width}, {scheme}"
            found: list[dict[str, Any]] = self.page.evaluate(
                "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)"
            )
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == [], where
            assert self._too_wide() == [], where
            self.page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert self._too_wide() == [], f"{where}, text at 200%"
            self.page.evaluate("document.documentElement.style.fontSize = ''")
        self._turn(WIDE, "light")

    def draw(self, picture: Path, width: int, scheme: Scheme) -> None:
        """A picture of the whole page.

        The window grows to its size, because ``full_page`` has timed out here.
        """
        self._turn(width, scheme)
        height = self.page.evaluate("document.body.offsetHeight")
        self.page.set_viewport_size({"width": width, "height": min(height, TALLEST, LARGEST // width)})
        # Content that scrolls by itself is drawn one frame later.
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture.write_bytes(deflated(self.page.screenshot(caret="hide", animations="disabled")))
        self._turn(WIDE, "light")

    def _turn(self, width: int, scheme: Scheme) -> None:
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 720})

    def _too_wide(self) -> list[str]:
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("html, main, header, .card, h1, h2, p, dd, label, button")]
                 .filter((node) => node.scrollWidth > node.clientWidth && node.clientWidth > 0)
                 .map((node) => `${node.tagName} ${node.className} ${node.innerText.slice(0, 40)}`)"""
        )
        return found

    def _note(self, reply: Response) -> None:
        request: Request = reply.request
        if request.is_navigation_request():
            self.replies.append(reply)


class Callers:
    """People who log in through the API, so that the panel has data to show."""

    def __init__(self, gateway: Gateway, emulator: KavenegarEmulator) -> None:
        self._gateway, self._emulator = gateway, emulator

    def asks(self, *numbers: str) -> None:
        """Each of them requests a code."""
        for number in numbers:
            reply = self._gateway.post("/api/v1/usr/otp", {"phone_number": number})
            assert reply.status_code == 200, reply.text

    def fails(self, number: str, times: int) -> None:
        """It types wrong codes."""
        wrong = f"{(int(self._emulator.code_for(number)) + 1) % 10**6:06d}"
        for _ in range(times):
            assert self._verify(number, wrong) >= 400

    def enters(self, number: str) -> None:
        """It signs in."""
        assert self._verify(number, self._emulator.code_for(number)) == 200

    def uses_a_device(self, number: str) -> None:
        """It signs in, and then its device requests the next code."""
        self.asks(number)
        token = self._post(number, self._emulator.code_for(number)).json()["device_token"]
        body = {"phone_number": number, "device_token": token}
        assert self._gateway.post("/api/v1/usr/otp", body).status_code == 200

    def _verify(self, number: str, code: str) -> int:
        return self._post(number, code).status_code

    def _post(self, number: str, code: str) -> requests.Response:
        return self._gateway.post("/api/v1/usr/otp/verify", {"phone_number": number, "code": code})


def rows_of(table: Locator) -> list[dict[str, str]]:
    """A table's rows, as values by column."""
    cells: list[list[str]] = table.evaluate(
        """(table) => [...table.rows].map((row) => [...row.cells]
             .map((cell) => cell.innerText.replace(/\\s+/g, " ").trim()))"""
    )
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def deflated(png: bytes) -> bytes:
    """The same picture with better compression: the browser prefers speed."""
    kept, packed, at = [], b"", 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        chunk = png[at : at + 12 + length]
        if chunk[4:8] == b"IDAT":
            packed += chunk[8:-4]
        else:
            kept.append(chunk)
        at += len(chunk)
    data = b"IDAT" + zlib.compress(zlib.decompress(packed), 9)
    body = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return png[:8] + b"".join(kept[:-1]) + body + kept[-1]
