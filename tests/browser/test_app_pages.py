"""otp.js in a page of an app, on the gateway's host and of another origin."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Route, expect

from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.browser.app_page import App, answer_prompts, example
from tests.browser.conftest import environment
from tests.browser.person import PHONE, TYPED
from tests.conftest import SECRET_KEY
from tests.support.challenges import easy_challenge
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.nginx import AppNginx
from tests.support.redis_server import RedisServer

STATIC = ROOT / "otp_gateway" / "pages" / "static"
SCRIPT = (STATIC / "otp.js").read_text(encoding="utf-8")
TYPES = (STATIC / "otp.d.ts").read_text(encoding="utf-8")
FEW_COUNTERS = Codes(SECRET_KEY, 6).pid(PhoneNumber(PHONE))
EMPTY = pytest.mark.usefixtures("empty_redis")
# An error of the page's own call, as JSON can carry it.
CATCH = ".then((value) => ({ value }), (problem) => ({ code: problem.code, ...problem }))"


@pytest.fixture(scope="module")
def same_host(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[AppNginx]:
    """The app and two gateways behind nginx, by the site file of deploy/."""
    variables = environment(
        running_emulator, REDIS_URL=redis_server.url, AUTH_COOKIES="true", TRUSTED_PROXIES="1"
    )
    with ExitStack() as stack:
        app = stack.enter_context(App(example("/static/otp.js")))
        gateways = [stack.enter_context(Gateway(variables, workers=1)) for _ in range(2)]
        yield stack.enter_context(AppNginx(app.port, [gateway.port for gateway in gateways]))


@pytest.fixture(scope="module")
def other_origin(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[tuple[str, str]]:
    """The URLs of an app, and of a gateway of another origin that lists it."""
    with App() as app:
        origin = f"http://localhost:{app.port}"
        variables = environment(running_emulator, REDIS_URL=redis_server.url, CORS_ORIGINS=origin)
        with Gateway(variables, workers=1) as gateway:
            app.page = example(f"{gateway.url}/static/otp.js")
            yield origin, gateway.url


@EMPTY
def test_five_lines_put_phone_login_into_a_page_of_the_same_host(
    browser: Browser, same_host: AppNginx, emulator: KavenegarEmulator
) -> None:
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        answer_prompts(page, {"Mobile number": TYPED, "Code": lambda: emulator.code_for(PHONE)})
        page.goto(f"{same_host.origin}/")
        expect(page).to_have_title(PHONE)
        cookies = {cookie["name"]: cookie for cookie in context.cookies()}
        assert {"__Host-access", "__Secure-refresh"} <= set(cookies)
        assert "token" not in json.dumps(page.evaluate("({ ...localStorage })")).replace("token_type", "")
        # The session is the app's: its next page refreshes it, and the login page of the host knows it.
        assert page.evaluate("new OTP().refresh().then(({ user }) => user.phone_number)") == PHONE
        page.goto(f"{same_host.origin}/login?lang=en")
        expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()


def test_the_site_file_leads_each_file_of_the_login_page_to_the_gateway(same_host: AppNginx) -> None:
    with same_host.session() as session:
        for name in (path.name for path in STATIC.iterdir() if not path.name.startswith("docs.")):
            reply = session.get(f"{same_host.origin}/static/{name}")
            assert reply.content == (STATIC / name).read_bytes()
        # The others are the app's, and so is the admin panel's path.
        for path in ("/static/docs.js", "/static/app.js", "/admin/", "/metrics", "/docs"):
            assert "<title>App</title>" in session.get(f"{same_host.origin}{path}").text
        assert session.get(f"{same_host.origin}/.well-known/jwks.json").json() == {"keys": []}


@EMPTY
def test_five_lines_put_phone_login_into_a_page_of_another_origin(
    browser: Browser, other_origin: tuple[str, str], emulator: KavenegarEmulator
) -> None:
    origin, gateway = other_origin
    with browser.new_context() as context:
        page = context.new_page()
        answer_prompts(page, {"Mobile number": TYPED, "Code": lambda: emulator.code_for(PHONE)})
        page.goto(origin)
        expect(page).to_have_title(PHONE)
        assert context.cookies() == []
        # `const otp` of the example is in the page's scope.
        assert page.evaluate("otp.refresh().then(({ user }) => user.phone_number)") == PHONE
        assert page.evaluate("otp.me().then((user) => user.phone_number)") == PHONE
        page.evaluate("otp.signOut()")
        assert page.evaluate("[otp.session, ...Object.keys(localStorage)]") == [None, "otp-devices"]
        assert page.evaluate(f"otp.me(){CATCH}")["code"] == "invalid_token"
        assert gateway not in origin


@EMPTY
def test_a_problem_has_its_members_in_a_page_of_another_origin_too(
    browser: Browser, other_origin: tuple[str, str], emulator: KavenegarEmulator
) -> None:
    origin, _ = other_origin
    with browser.new_context() as context:
        page = context.new_page()
        answer_prompts(page, {"Mobile number": "hello"})
        page.goto(origin)
        expect(page).to_have_title("invalid_phone_number")
        page.evaluate(f"otp.sendOTP('{PHONE}')")
        wrong = f"{(int(emulator.code_for(PHONE)) + 1) % 10**6:06d}"
        problem = page.evaluate(f"otp.verifyOTP('{PHONE}', '{wrong}'){CATCH}")
        assert (problem["code"], problem["status"], problem["attempts_remaining"]) == ("invalid_code", 400, 2)
        for _ in range(3):
            problem = page.evaluate(f"otp.sendOTP('{PHONE}'){CATCH}")
        assert problem["code"] == "too_many_otp_requests"
        assert 1 <= problem["retry_after"] <= 120


@EMPTY
def test_a_page_of_another_origin_solves_it_without_a_worker(
    browser: Browser, other_origin: tuple[str, str], emulator: KavenegarEmulator
) -> None:
    origin, _ = other_origin
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/api/v1/usr/otp", lambda route: _challenge_elsewhere(route, origin))
        answer_prompts(page, {"Mobile number": TYPED, "Code": lambda: emulator.code_for(PHONE)})
        page.goto(origin)
        expect(page).to_have_title(PHONE)
        assert page.workers == []
        assert page.evaluate("typeof solveChallenge") == "function"


def _challenge_elsewhere(route: Route, origin: str) -> None:
    if route.request.method != "POST" or "challenge" in json.loads(route.request.post_data or "{}"):
        route.continue_()
        return
    refusal = {
        "code": "challenge_required",
        "challenge": easy_challenge(FEW_COUNTERS, int(time.time() * 1000)),
    }
    route.fulfill(status=429, json=refusal, headers={"Access-Control-Allow-Origin": origin})
