"""A browser, the gateway in either token mode, and people at its login page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.operator import OPERATOR, PASSWORD_HASH, Callers, Operator
from tests.browser.person import TIMEOUT_MS, Person
from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Mode = Literal["body", "cookies"]
Panel = Literal["open", "guarded", "quiet", "named"]
MakePerson = Callable[..., Person]
MakeOperator = Callable[..., Operator]
Shot = Callable[[str], Path | None]
AXE = "axe_playwright_python"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots/*.png")


# The scope is the package, not the session: while Playwright runs, no other test could run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, headless. Without one the tests are skipped, and fail under CI."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"no browser on the PATH: one of {', '.join(BROWSERS)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def environment(emulator: KavenegarEmulator, **more: str) -> dict[str, str]:
    """A gateway's variables.

    The IP limits are the defaults, because every test begins with an empty Redis.
    """
    return {
        "SECRET_KEY": SECRET_KEY,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "SMS_TIMEOUT": "1",
        "OTP_MAX_FAILURES_PER_CLIENT": "4",
    } | more


def stop_all(running: Collection[Gateway]) -> None:
    """Stop gateways. They end at the same time, because each waits for its connections."""
    for gateway in running:
        gateway.terminate()
    for gateway in running:
        gateway.stop()


@pytest.fixture(scope="package")
def gateways(
    redis_server: RedisServer, running_emulator: KavenegarEmulator
) -> Iterator[Callable[[Mode], Gateway]]:
    """The gateway in a token mode, started at its first use. The one with cookies also offers calls."""
    running: dict[Mode, Gateway] = {}
    modes: dict[Mode, dict[str, str]] = {
        "body": {},
        "cookies": {"AUTH_COOKIES": "true", "KAVENEGAR_TEMPLATE": "login"},
    }

    def start(mode: Mode) -> Gateway:
        if mode not in running:
            variables = environment(running_emulator, REDIS_URL=redis_server.url, **modes[mode])
            # As `make run` serves it: the page can refresh the session.
            gateway = Gateway(variables, app="otp_gateway.dev:application()")
            gateway.start()
            running[mode] = gateway
        return running[mode]

    yield start
    stop_all(running.values())


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    """Redis without limits and sessions of earlier tests."""
    redis_server.clear()
    return redis_server


@pytest.fixture
def person(
    browser: Browser,
    gateways: Callable[[Mode], Gateway],
    emulator: KavenegarEmulator,
    empty_redis: RedisServer,  # noqa: ARG001
) -> Iterator[MakePerson]:
    """Make people: ``person("fa", mode="cookies", width=320)``. At the end, no page rule may be broken."""
    made: list[Person] = []

    def make(
        language: str = "en",
        *,
        mode: Mode = "body",
        width: int = 1280,
        at: Gateway | None = None,
        **options: Any,
    ) -> Person:
        options = {"locale": {"fa": "fa-IR", "en": "en-US"}[language], **options}
        context = browser.new_context(viewport={"width": width, "height": 720}, **options)
        made.append(Person(context.new_page(), at or gateways(mode), emulator, language))
        return made[-1]

    yield make
    for one in made:
        one.page.context.close()
    assert [fault for one in made for fault in one.faults] == []


@pytest.fixture
def gateway_of(gateways: Callable[[Mode], Gateway], empty_redis: RedisServer) -> Callable[[], Gateway]:  # noqa: ARG001
    """The gateway for people without a mode of their own."""
    return lambda: gateways("body")


@pytest.fixture(scope="package")
def panels(
    redis_server: RedisServer, running_emulator: KavenegarEmulator
) -> Iterator[Callable[[Panel], Gateway]]:
    """A gateway with the panel, started at its first use.

    "open" reveals codes; "guarded" does not, and sends by a template. "quiet" has a database of its own, and
    no user logs in there, so that no count of an earlier test arrives late. "named" also has a database of
    its own, an operator with a name, and a send budget.
    """
    running: dict[Panel, Gateway] = {}
    kinds: dict[Panel, dict[str, str]] = {
        "open": {"ADMIN_REVEAL_CODES": "true"},
        "guarded": {"KAVENEGAR_TEMPLATE": "login"},
        "quiet": {"REDIS_URL": redis_server.url.removesuffix("0") + "1"},
        "named": {
            "REDIS_URL": redis_server.url.removesuffix("0") + "2",
            "ADMIN_USERS": f"{OPERATOR}:{PASSWORD_HASH}",
            "OTP_SEND_BUDGET": "500/hour",
        },
    }
    variables = environment(
        running_emulator,
        REDIS_URL=redis_server.url,
        ADMIN_PASSWORD_HASH=PASSWORD_HASH,
        OTP_IP_LIMITS="10000/minute",
        # Four for clients without a token and one for devices.
        OTP_MAX_FAILURES_PER_PHONE="5",
    )

    def start(kind: Panel) -> Gateway:
        if kind not in running:
            gateway = Gateway(variables | kinds[kind], workers=1)
            gateway.start()
            running[kind] = gateway
        return running[kind]

    yield start
    stop_all(running.values())


@pytest.fixture
def operator(person: MakePerson, panels: Callable[[Panel], Gateway], axe: str) -> MakeOperator:
    """Make operators: ``operator("guarded", language="fa", width=320)``."""

    def make(panel: Panel = "open", *, width: int = 1280, **options: Any) -> Operator:
        return Operator(person(width=width, at=panels(panel), **options), axe)

    return make


@pytest.fixture
def callers(
    panels: Callable[[Panel], Gateway],
    emulator: KavenegarEmulator,
    empty_redis: RedisServer,  # noqa: ARG001
) -> Callers:
    """People who log in at the open panel's gateway."""
    return Callers(panels("open"), emulator)


@pytest.fixture
def named(
    panels: Callable[[Panel], Gateway],
    emulator: KavenegarEmulator,
    empty_redis: RedisServer,  # noqa: ARG001
) -> Callers:
    """Callers of the gateway whose operator has a name."""
    return Callers(panels("named"), emulator)


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source. It is loaded through the debugger, so the page's policy does not change."""
    return resources.files(AXE).joinpath("axe.min.js").read_text("utf-8")


@pytest.fixture
def shot(pytestconfig: pytest.Config) -> Shot:
    """The path of a picture, if pictures are requested."""
    wanted = pytestconfig.getoption("--screenshots", default=False)
    return lambda name: ROOT / "docs" / "screenshots" / f"panel-{name}.png" if wanted else None
