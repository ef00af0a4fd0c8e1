"""The weight of the login page, and the time until a user can use it: ``python -m tests.measure.login_page``.

Chromium is slowed through its debugging protocol: "slow 3G" is 400 kbit/s with 400 ms for each round trip,
and a processor that is four times slower. The page is usable when its script has focused the field.
"""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import ARGUMENTS, environment
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator

CHROMIUM = "/usr/bin/chromium"
STATIC = ROOT / "otp_gateway" / "pages" / "static"
FILES = ("login.css", "otp.js", "numbers.js", "code-field.js", "login.js")
BYTES_PER_SECOND = 50_000
LATENCY_MS = 400
SLOWER = 4
ROUNDS = 5


def weights(url: str, language: str) -> dict[str, tuple[int, ...]]:
    """For the page and each of its files, the bytes as they are, and compressed."""
    page = requests.get(f"{url}/?lang={language}", headers={"Accept-Encoding": "identity"}, timeout=10)
    contents = {"page": page.content} | {name: (STATIC / name).read_bytes() for name in FILES}
    return {name: (len(content), len(gzip.compress(content, 6))) for name, content in contents.items()}


def seconds_until_usable(browser: Browser, url: str, language: str) -> float:
    """The time from the request of the page until the user can type a number."""
    with browser.new_context() as context:
        page = context.new_page()
        protocol = context.new_cdp_session(page)
        protocol.send("Network.enable")
        limits: dict[str, Any] = {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": BYTES_PER_SECOND,
            "uploadThroughput": BYTES_PER_SECOND,
        }
        protocol.send("Network.emulateNetworkConditions", limits)
        protocol.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        began = time.monotonic()
        page.goto(f"{url}/?lang={language}", wait_until="commit")
        page.locator("#phone:focus").wait_for()
        return time.monotonic() - began


@contextmanager
def site() -> Iterator[tuple[str, Browser]]:
    """A gateway with the embedded store, and a browser."""
    with (
        KavenegarEmulator() as emulator,
        Gateway(environment(emulator), workers=1) as gateway,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield f"http://localhost:{gateway.port}", browser
        browser.close()


def report() -> Iterator[str]:
    """Both measurements, line by line."""
    with site() as (url, browser):
        for language in ("fa", "en"):
            found = weights(url, language)
            found["all"] = tuple(map(sum, zip(*found.values(), strict=True)))
            for name, (plain, compressed) in found.items():
                yield f"{language}  {name:14}{plain:7} bytes {compressed:7} compressed"
            times = sorted(seconds_until_usable(browser, url, language) for _ in range(ROUNDS))
            span = f"{times[0]:.2f} to {times[-1]:.2f} s"
            yield f"{language}  usable after {statistics.median(times):.2f} s (median of {ROUNDS}; {span})"


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)  # noqa: T201  # a command that shows figures
