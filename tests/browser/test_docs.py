"""/docs: the two calls, the errors and all operations on one page, from our own origin only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import MakePerson, Mode
from tests.browser.person import PHONE, Person
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
NARROW = 400
# The widths of a desktop and of a phone.
SCREENS = ((1280, 720), (390, 844))
LANGUAGES = ("curl", "JavaScript", "Python")
# A browser that shares its processor with other tests takes many seconds for Swagger UI's script.
SLOW_MS = 60_000
FILES = [
    "/docs/swagger-ui.css",
    "/static/docs.css",
    "/docs/swagger-ui-bundle.js",
    "/static/docs.js",
    "/static/icon.svg",
]


class Reader:
    """A reader of the page."""

    def __init__(self, somebody: Person, axe: str) -> None:
        self.somebody, self.page, self._axe = somebody, somebody.page, axe

    def open(self, path: str = "/docs") -> Reader:
        # The test waits for the operations. They appear some time after the last file.
        self.page.goto(self.somebody.home + path, wait_until="commit", timeout=SLOW_MS)
        expect(self.page.locator(".opblock").first).to_be_visible(timeout=SLOW_MS)
        return self

    def operation(self, name: str) -> Locator:
        return self.page.locator(f".opblock[id$='-{name}']")

    def unfold(self, name: str) -> Locator:
        """An operation, open."""
        operation = self.operation(name)
        operation.locator(".opblock-summary-control").click()
        expect(operation.locator(".responses-table").first).to_be_visible()
        return operation

    def try_out(self, name: str) -> tuple[str, Any]:
        """Send an operation's example; return the status and body that the page shows."""
        operation = self.operation(name)
        operation.get_by_role("button", name="Try it out").click()
        return self.execute(name)

    def execute(self, name: str) -> tuple[str, Any]:
        operation = self.operation(name)
        clear = operation.get_by_role("button", name="Clear")
        if clear.is_visible():
            clear.click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table tbody .response")
        body = answer.locator("pre code").first.inner_text()
        return answer.locator(".response-col_status").inner_text().strip(), json.loads(body)

    def look(self) -> None:
        """No sideways scrolling. On a phone, axe finds no fault: the wide page has the same parts."""
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if self.page.evaluate("innerWidth") > NARROW:
            return
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(self._axe)
        found: list[dict[str, Any]] = self.page.evaluate(
            "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)"
        )
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []


@pytest.fixture
def reader(person: MakePerson, axe: str) -> Callable[..., Reader]:
    """Make readers: ``reader(width=320, mode="cookies")``. In the end no rule may be broken."""
    return lambda **options: Reader(person(reduced_motion="reduce", **options), axe)


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (320, "dark"),
        (1280, "light"),
        # Each width and each theme is above.
        pytest.param(320, "light", marks=pytest.mark.long),
        pytest.param(1280, "dark", marks=pytest.mark.long),
    ],
)
def test_every_eye_and_ear_can_read_it(
    reader: Callable[..., Reader], pytestconfig: pytest.Config, width: int, theme: str
) -> None:
    somebody = reader(width=width, color_scheme=theme).open()
    page = somebody.page
    expect(page).to_have_title("otp-gateway: the API")
    expect(page.locator("header h1")).to_have_text("otp-gateway: the API")
    assert page.locator("html").get_attribute("lang") == "en"
    somebody.look()
    if pytestconfig.getoption("--screenshots", default=False):
        page.screenshot(path=ROOT / "docs" / "screenshots" / f"docs-{width}-{theme}.png")

    for name in ("sendOtp", "getUser"):
        somebody.unfold(name)
    assert somebody.try_out("sendOtp")[0] == "200"
    somebody.look()

    page.get_by_role("button", name="Authorize").first.click()
    expect(page.get_by_text("Available authorizations")).to_be_visible()
    somebody.look()
    page.get_by_role("button", name="Close", exact=True).first.click()


def test_the_page_begins_with_the_two_calls_and_then_the_errors(reader: Callable[..., Reader]) -> None:
    page = reader().open().page
    parts = [part.inner_text() for part in page.locator("h2").all()]
    assert parts[:3] == ["Two calls", "Errors", "All operations"]
    described = page.evaluate("fetch('/openapi.json').then((reply) => reply.json())")["components"]["schemas"]
    codes = [about["properties"].get("code", {}) for about in described.values()]
    rows = [row.inner_text() for row in page.locator("#errors ~ table tbody td:nth-child(2)").all()]
    assert len(rows) > 15
    assert sorted(rows) == sorted(code["const"] for code in codes if "const" in code)
    # The table is on the page once.
    assert page.get_by_text("sms_unconfirmed", exact=True).count() == 1


@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_every_operation_is_there_fits_two_screens_and_links_its_errors(
    reader: Callable[..., Reader], gateways: Callable[[Mode], Gateway], mode: Mode
) -> None:
    somebody = reader(mode=mode).open()
    page = somebody.page
    operations = page.locator(".opblock").all()
    paths = gateways(mode).get("/openapi.json").json()["paths"]
    described = [operation["operationId"] for item in paths.values() for operation in item.values()]
    shown = [node.get_attribute("id") or "" for node in operations]
    assert sorted(node.split("-")[-1] for node in shown) == sorted(described)
    for operation in operations:
        operation.locator(".opblock-summary-control").click()
        expect(operation.locator(".responses-table").first).to_be_visible()
        links = operation.locator(".responses-table a[href^='#']")
        for target in links.evaluate_all("(links) => links.map((link) => link.getAttribute('href'))"):
            assert page.locator(target).count() == 1
    assert page.locator(".opblock a[href='#invalid_code']").count() == 1
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        for operation in operations:
            box = operation.bounding_box()
            assert box
            assert box["height"] <= 2 * height, (operation.get_attribute("id"), width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # No file comes from elsewhere.
    asked = {urlsplit(request.url).path for request in somebody.somebody.seen}
    assert asked == {"/docs", "/openapi.json", *FILES}


def sample(page: Page, call: str, language: str) -> str:
    """The sample as a reader copies it."""
    page.get_by_label(language, exact=True).check()
    shown = page.locator(f"[data-sample={call}]:visible")
    expect(shown).to_have_count(1)
    return shown.inner_text()


@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_the_samples_log_in(
    reader: Callable[..., Reader], emulator: KavenegarEmulator, tmp_path: Path, mode: Mode
) -> None:
    page = reader(mode=mode).open().page

    def run(source: str, language: str) -> str:
        if language == "JavaScript":
            with page.expect_console_message() as message:
                page.evaluate(f"async () => {{ {source} }}")
            return str(message.value.args[1].json_value())
        command = ["sh", "-c"] if language == "curl" else [sys.executable, "-c"]
        return subprocess.check_output([*command, source], text=True, timeout=20, cwd=tmp_path)

    for language in LANGUAGES:
        assert "OTP sent successfully" in run(sample(page, "send", language), language)
        source = sample(page, "verify", language)
        opened = run(source.replace('"123456"', f'"{emulator.code_for(PHONE)}"'), language)
        assert "refresh_expires_in" in opened
        assert ("access_token" in opened) == (mode == "body")


def test_what_is_tried_out_goes_to_this_gateway(
    reader: Callable[..., Reader], emulator: KavenegarEmulator
) -> None:
    somebody = reader().open()
    page = somebody.page
    somebody.unfold("sendOtp")
    status, sent = somebody.try_out("sendOtp")
    assert (status, sent["phone_number"]) == ("200", PHONE)
    assert len(emulator.messages_to(PHONE)) == 1

    somebody.unfold("verifyOtp").get_by_role("button", name="Try it out").click()
    body = {"phone_number": PHONE, "code": emulator.code_for(PHONE)}
    somebody.operation("verifyOtp").get_by_label("Request body").fill(json.dumps(body))
    status, pair = somebody.execute("verifyOtp")
    assert status == "200"

    somebody.unfold("getUser")
    assert somebody.try_out("getUser")[1]["code"] == "invalid_token"
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(pair["access_token"])
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close", exact=True).first.click()
    assert somebody.execute("getUser") == ("200", pair["user"])


def test_with_cookies_a_user_who_is_signed_in_is_so_here_too(reader: Callable[..., Reader]) -> None:
    somebody = reader(mode="cookies")
    somebody.somebody.signed_in()
    somebody.open().unfold("getUser")
    status, user = somebody.try_out("getUser")
    assert (status, user["phone_number"]) == ("200", PHONE)


def test_an_operation_has_an_address(reader: Callable[..., Reader]) -> None:
    somebody = reader().open("/docs#/Login/verifyOtp")
    expect(somebody.operation("verifyOtp").locator(".responses-table")).to_be_visible()
    somebody.unfold("getHealth")
    expect(somebody.page).to_have_url(re.compile("#/Operations/getHealth$"))


def test_without_scripts_the_page_says_where_the_document_is(
    browser: Browser, gateway_of: Callable[[], Gateway]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{gateway_of().url}/docs", wait_until="domcontentloaded", timeout=SLOW_MS)
    expect(page.locator("[data-sample=send]:visible")).to_have_count(1)
    expect(page.get_by_text("sms_unconfirmed", exact=True)).to_be_visible()
    page.get_by_role("link", name="/openapi.json").first.click()
    assert page.url.endswith("/openapi.json")
    context.close()


@pytest.mark.parametrize("path", ["/docs", *FILES])
def test_policy_and_caching_of_page_and_files(gateway_of: Callable[[], Gateway], path: str) -> None:
    reply = gateway_of().get(path)
    headers = reply.headers
    own = POLICY if path.startswith("/docs") else POLICY.replace(" data:", "")
    assert headers["Content-Security-Policy"] == own
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Request-ID"]
    again = gateway_of().get(path, headers={"If-None-Match": headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "index.html",
        "swagger-ui.js",
        "swagger-ui-standalone-preset.js",
        "swagger-ui.css.map",
        "oauth2-redirect.html",
        "VERSION",
        "%2e%2e/__init__.py",
        "..%2f__init__.py",
    ],
)
def test_of_the_package_nothing_else_is_served(gateway_of: Callable[[], Gateway], name: str) -> None:
    reply = gateway_of().get(f"/docs/{name}")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
