"""The cost of a challenge for the gateway, and Chromium's time for it: ``python -m benchmarks.challenge``.

Chromium derives the keys in a worker, as the login page does. Its processor time is measured, because other
processes of the machine change the time on the clock. A machine that is six times slower needs six times
that. The throttling of Chromium's debugging protocol cannot show it: it slows only the main thread.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page, sync_playwright

from otp_gateway.abuse.challenge import COST, STEPS, Challenges
from otp_gateway.codes import Codes
from otp_gateway.errors import InvalidChallenge
from tests.support.challenges import encoded, solved

PID, NOW = "p" * 22, 1_795_622_400_000
ROUNDS = 500
KEYS = 2_000
SLOWED = 6
CHROMIUM = "/usr/bin/chromium"
WORKER = """
onmessage = async ({ data: [cost, count] }) => {
  const password = new Uint8Array(20), view = new DataView(password.buffer), salt = new Uint8Array(16);
  const began = performance.now();
  for (let counter = 0; counter < count; counter += 1) {
    view.setUint32(16, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations: cost }, key, 256);
  }
  postMessage((performance.now() - began) / count);
};
"""
RUN = """(work) => new Promise((resolve) => {
  const worker = new Worker("/worker.js");
  worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
  worker.postMessage(work);
})"""


class Handler(BaseHTTPRequestHandler):
    """An empty page and its worker."""

    def do_GET(self) -> None:
        script = self.path.endswith(".js")
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if script else "text/html")
        self.end_headers()
        self.wfile.write((WORKER if script else "<!doctype html>").encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name in the base class
        pass


def main() -> None:
    """Print both tables."""
    for name, call in _calls().items():
        _print(f"{name:<44}{1000 * _processor_time(call):>8.3f} ms{_peak(call) / 1024:>9.1f} KiB")
    _print(f"\nChromium: time of one key of {COST} iterations, and of half the keys of each step")
    for name, seconds in _chromium():
        steps = "".join(f"{seconds * attempts / 2:>8.2f} s" for attempts in STEPS)
        _print(f"{name:<44}{1000 * seconds:>8.3f} ms{steps}")


def _calls() -> dict[str, Callable[[], object]]:
    challenges = Challenges(Codes("a secret of the benchmark, of forty letters", 6))
    challenge = challenges.create(PID, 0, NOW)
    right = solved(challenge)
    forged = json.loads(json.dumps(right))
    forged["challenge"]["parameters"]["cost"] = 2**31
    deep = base64.b64encode(b"[" * 1500).decode()

    def refused(payload: str) -> Callable[[], object]:
        def check() -> None:
            with suppress(InvalidChallenge):
                challenges.check(payload, PID, NOW)

        return check

    return {
        "make a challenge": lambda: challenges.create(PID, 0, NOW),
        "check a right solution": lambda: challenges.check(encoded(right), PID, NOW),
        "refuse a forged one, and make a challenge": refused(encoded(forged)),
        "refuse deep JSON, and make a challenge": refused(deep),
    }


def _processor_time(call: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(ROUNDS):
        call()
    return (time.process_time() - began) / ROUNDS


def _peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


def _chromium() -> Iterator[tuple[str, float]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        seconds = _seconds_of_key(page)
        yield "this machine", seconds
        yield f"a machine {SLOWED} times slower", SLOWED * seconds
        browser.close()
        server.shutdown()


def _seconds_of_key(page: Page) -> float:
    """The processor time of all renderers for one key."""
    page.evaluate(RUN, [COST, KEYS])
    before = _processor_seconds()
    page.evaluate(RUN, [COST, KEYS])
    return (_processor_seconds() - before) / KEYS


def _processor_seconds() -> float:
    ticks = 0
    for process in _renderers(os.getpid()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _renderers(parent: int) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                if b"--type=renderer" in (folder / "cmdline").read_bytes():
                    yield int(folder.name)
                yield from _renderers(int(folder.name))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
