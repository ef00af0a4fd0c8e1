"""The files and scripts that the page may load, and the pages to which it may lead."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from otp_gateway import create_app
from otp_gateway.settings import Settings
from tests.browser.conftest import MakePerson, Mode, environment
from tests.browser.person import TYPED
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HOSTILE = [
    "//evil.example",
    "///evil.example",
    "https://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "http://ok.example/",
    "https://ok.example:444/",
    "https://ok.example@evil.example/",
    "https://ok.example:443@evil.example/",
    "https://evil.example#@ok.example/",
    "https://ok.example.evil.example/",
    "https://ok.example\\@evil.example/",
    "https://ok.example\\.evil.example/",
    "https://evil.example\\@ok.example/",
    "\\\\evil.example",
    "/\\evil.example",
    "https:\\\\evil.example",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\nscript:alert(1)",
    "\u0001javascript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://ok.example\t.evil.example/",
    "https://ok.example\u200b.evil.example/",
    "https://ok。example.evil.example/",
    "https://ok.example／evil.example/",
    "https://[ok.example/",
    "ftp://ok.example/",
    "/account",
    "",
]


@pytest.mark.parametrize(
    "path", ["/", "/?lang=fa", "/static/login.js", "/static/login.css", "/static/icon.svg", "/static/otp.js"]
)
def test_policy_of_page_and_files(gateway_of: Callable[[], Gateway], path: str) -> None:
    headers = gateway_of().get(path).headers
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    if path.startswith("/static"):
        assert headers["Cache-Control"] == "no-cache"
        assert headers["ETag"]
    else:
        assert headers["Cache-Control"] == "no-store"
        assert headers["Vary"] == "Accept-Language, Accept-Encoding"


def test_an_injected_script_does_not_run(person: MakePerson) -> None:
    somebody = person().open()
    somebody.page.evaluate(
        """() => {
             window.blocked = [];
             const note = (event) => window.blocked.push(event.effectiveDirective);
             document.addEventListener("securitypolicyviolation", note);
             const script = document.createElement("script");
             script.textContent = "window.stolen = true";
             document.body.append(script);
             const add = (html) => document.body.insertAdjacentHTML("beforeend", html);
             add('<img src="/none" onerror="window.stolen = true">');
             add('<img src="https://evil.example/x.png">');
             fetch("https://evil.example/").catch(() => undefined);
           }"""
    )
    somebody.page.wait_for_function("window.blocked.length >= 4")
    assert not somebody.page.evaluate("'stolen' in window")
    assert set(somebody.page.evaluate("window.blocked")) >= {"script-src-elem", "img-src", "connect-src"}
    outside = [request for request in somebody.seen if "evil.example" in request.url]
    assert outside
    assert {request.failure for request in outside} == {"csp"}
    somebody.faults.clear()  # the browser reports the blocked parts


@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_the_page_needs_its_own_files_only(person: MakePerson, mode: Mode) -> None:
    somebody = person(mode=mode).signed_in()
    files = {request.url for request in somebody.seen if request.resource_type not in ("fetch", "xhr")}
    static = f"{somebody.home}/static"
    names = ("login.css", "login.js", "code-field.js", "numbers.js", "otp.js", "icon.svg")
    assert files == {f"{somebody.home}/", *(f"{static}/{name}" for name in names)}


def test_without_javascript_no_number_leaves_the_form(person: MakePerson) -> None:
    somebody = person("fa", java_script_enabled=False).open()
    notice = f'<p class="error">{somebody.say("noscript")}</p>'
    assert f"<noscript>{notice}</noscript>" in somebody.page.content()
    somebody.phone.fill(TYPED)
    somebody.phone.press("Enter", no_wait_after=True)
    somebody.page.wait_for_timeout(300)
    assert not any(TYPED in request.url for request in somebody.seen)
    assert somebody.page.url == f"{somebody.home}/"
    somebody.faults.clear()  # the browser reports the blocked form


Onward = Callable[[str, list[str]], list[str | None]]
ALLOWED = ["https://ok.example", "https://ok.example/@me", "https://ok.example/پنل", "https://ok.example/a b"]


@pytest.fixture
def onward(settings: Callable[..., Settings]) -> Onward:
    """The page to which a gateway with these redirects sends a person, for each value of ``?next=``."""

    def ask(allowed: str, wishes: list[str]) -> list[str | None]:
        client = create_app(settings(OTP_LOGIN_REDIRECT=allowed)).test_client()
        pages = [client.get("/?" + urlencode({"next": wanted})).text for wanted in wishes]
        found = [re.search(r'data-onward="([^"]*)"', page) for page in pages]
        return [html.unescape(match[1]) if match else None for match in found]

    return ask


@pytest.mark.parametrize("allowed", ALLOWED)
def test_no_user_is_redirected_to_an_unlisted_site(onward: Onward, allowed: str) -> None:
    assert onward(allowed, HOSTILE) == [allowed] * len(HOSTILE)


def test_no_user_is_redirected_if_no_url_is_listed(
    onward: Onward,
) -> None:
    assert onward("", HOSTILE) == [None] * len(HOSTILE)


def test_any_page_of_a_listed_origin_may_be_named(
    onward: Onward,
) -> None:
    wishes = [
        "https://ok.example",
        "https://ok.example/",
        "https://ok.example/deep/page?a=1&b=2#part",
        "https://ok.example/@me",
        "https://ok.example/پنل",
        "https://ok.example?next=//evil.example",
        "http://localhost:3000/x",
    ]
    assert onward("https://ok.example/@me,http://localhost:3000", wishes) == wishes


@pytest.fixture(scope="module")
def onward_gateway(
    redis_server: RedisServer, running_emulator: KavenegarEmulator, gateways: Callable[[Mode], Gateway]
) -> Iterator[Gateway]:
    """Sends people on to another gateway's /healthz, which is another origin."""
    variables = environment(
        running_emulator,
        REDIS_URL=redis_server.url,
        AUTH_COOKIES="true",
        OTP_LOGIN_REDIRECT=f"{gateways('body').url}/healthz",
    )
    with Gateway(variables, workers=1) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("wanted", "arrives"),
    [
        (None, "/healthz"),
        ("{origin}/.well-known/jwks.json?x=1", "/.well-known/jwks.json?x=1"),
        ("{origin}\\@evil.example/", "/healthz"),
    ],
)
def test_after_the_login_the_person_goes_on(
    person: MakePerson,
    onward_gateway: Gateway,
    gateways: Callable[[Mode], Gateway],
    wanted: str | None,
    arrives: str,
) -> None:
    origin = gateways("body").url
    somebody = person(at=onward_gateway)
    somebody.allowed.add(origin)
    query = urlencode({"next": wanted.format(origin=origin)}) if wanted else ""
    # A change of language keeps the destination.
    somebody.open(f"/?{query}")
    # Until the page has loaded, its script cannot handle the form.
    with somebody.page.expect_navigation():
        somebody.page.get_by_role("link", name="فارسی").click()
    somebody.language = "fa"
    somebody.asked().enter(somebody.texted())
    somebody.page.wait_for_url(origin + arrives)
    assert all("Referer" not in request.headers for request in somebody.seen[-1:])

    # A user who comes back is signed in, and is redirected at once.
    somebody.page.goto(f"{somebody.home}/?{query}")
    somebody.page.wait_for_url(origin + arrives)
