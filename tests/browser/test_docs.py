"""/docs: the whole interface on one page, from our own origin alone, for every eye and ear."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import MakePerson, Mode
from tests.browser.person import PHONE, Person
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
NARROW = 400
FILES = [
    "/docs/swagger-ui.css",
    "/static/docs.css",
    "/docs/swagger-ui-bundle.js",
    "/static/docs.js",
    "/static/icon.svg",
]


class Reader:
    """Somebody who reads the page."""

    def __init__(self, somebody: Person, axe: str) -> None:
        self.somebody, self.page, self._axe = somebody, somebody.page, axe

    def open(self, path: str = "/docs") -> Reader:
        self.somebody.open(path)
        expect(self.page.locator(".opblock").first).to_be_visible()
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
        """Send an operation's example; status and body that the page shows."""
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
        """Nobody has to scroll sideways; on a phone axe finds nothing: the wide page has the same parts."""
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


@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_every_operation_is_there_and_nothing_comes_from_elsewhere(
    reader: Callable[..., Reader], gateways: Callable[[Mode], Gateway], mode: Mode
) -> None:
    somebody = reader(mode=mode).open()
    paths = gateways(mode).get("/openapi.json").json()["paths"]
    described = [operation["operationId"] for item in paths.values() for operation in item.values()]
    shown = [node.get_attribute("id") or "" for node in somebody.page.locator(".opblock").all()]
    assert sorted(node.split("-")[-1] for node in shown) == sorted(described)
    asked = {urlsplit(request.url).path for request in somebody.somebody.seen}
    assert asked == {"/docs", "/openapi.json", *FILES}


@pytest.mark.parametrize("width", [320, 1280])
def test_every_eye_and_ear_can_read_it(
    reader: Callable[..., Reader], pytestconfig: pytest.Config, width: int
) -> None:
    somebody = reader(width=width).open()
    page = somebody.page
    expect(page).to_have_title("otp-gateway: the API")
    expect(page.get_by_role("heading", level=1)).to_contain_text("otp-gateway")
    assert page.locator("html").get_attribute("lang") == "en"
    somebody.look()
    if pytestconfig.getoption("--screenshots", default=False):
        page.screenshot(path=ROOT / "docs" / "screenshots" / f"docs-{width}.png")

    for name in ("sendOtp", "getUser"):
        somebody.unfold(name)
    assert somebody.try_out("sendOtp")[0] == "200"
    somebody.look()

    page.get_by_role("button", name="Authorize").first.click()
    expect(page.get_by_text("Available authorizations")).to_be_visible()
    somebody.look()
    page.get_by_role("button", name="Close", exact=True).first.click()
    for name in ("sendOtp", "getUser"):
        somebody.operation(name).locator(".opblock-summary-control").click()

    page.locator("section.models .models-control").click()
    page.locator("section.models .json-schema-2020-12-expand-deep-button").nth(1).click()
    somebody.look()


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


def test_with_cookies_whoever_is_signed_in_is_so_here_too(reader: Callable[..., Reader]) -> None:
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
    page.goto(f"{gateway_of().url}/docs")
    page.get_by_role("link", name="/openapi.json").click()
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
