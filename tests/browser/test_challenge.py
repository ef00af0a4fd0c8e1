"""A challenge is solved without the user, in a worker or in the page."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Route, expect

from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.browser.conftest import MakePerson
from tests.browser.person import PHONE
from tests.conftest import SECRET_KEY
from tests.support.challenges import easy_challenge
from tests.support.gateway import ROOT

STATIC = ROOT / "otp_gateway" / "pages" / "static"
SCRIPT = (STATIC / "otp.js").read_text(encoding="utf-8")
TYPES = (STATIC / "otp.d.ts").read_text(encoding="utf-8")
FEW_COUNTERS = Codes(SECRET_KEY, 6).pid(PhoneNumber(PHONE))
# An error of the page's own call, as JSON can carry it.
CATCH = ".then((value) => ({ value }), (problem) => ({ code: problem.code, ...problem }))"


def challenge_first(route: Route) -> None:
    """The gate demands a challenge once. The gateway itself checks the solution."""
    if "challenge" in json.loads(route.request.post_data or "{}"):
        route.continue_()
    else:
        challenge = easy_challenge(FEW_COUNTERS, int(time.time() * 1000))
        refusal = {"status": 429, "code": "challenge_required", "challenge": challenge}
        route.fulfill(status=429, json=refusal, headers={"Retry-After": "60"})


@pytest.mark.parametrize("worker", [True, False], ids=["in a worker", "in the page"])
def test_a_challenge_is_solved_without_the_user(person: MakePerson, worker: bool) -> None:
    somebody = person("fa")
    workers: list[str] = []
    somebody.page.on("worker", lambda started: workers.append(started.url))
    if not worker:
        somebody.page.add_init_script(
            "window.Worker = class { constructor() { throw new DOMException('no', 'SecurityError'); } };"
        )
    somebody.open()
    somebody.page.route("**/otp", challenge_first)
    somebody.asked()
    expect(somebody.status).to_have_text(somebody.say("sent"))
    assert workers == ([f"{somebody.home}/static/challenge.js"] if worker else [])
    somebody.enter(somebody.texted())
    expect(somebody.greeting).to_be_focused()


def test_a_worker_that_breaks_is_replaced_by_the_page(person: MakePerson) -> None:
    somebody = person().open()
    somebody.page.evaluate(
        """() => {
             window.Worker = class {
               constructor() { setTimeout(() => this.onerror(new Event("error"))); }
               postMessage() {}
               terminate() {}
             };
           }"""
    )
    somebody.page.route("**/otp", challenge_first)
    somebody.asked()


def test_a_refused_solution_is_tried_once_more_with_the_new_challenge(person: MakePerson) -> None:
    somebody = person().open()
    challenges = [
        easy_challenge(FEW_COUNTERS, int(time.time() * 1000), secret=key) for key in ("x" * 40, SECRET_KEY)
    ]
    codes = ["challenge_required", "invalid_challenge"]

    def refuse(route: Route) -> None:
        if not challenges:
            route.continue_()
            return
        refusal = {"code": codes.pop(0), "challenge": challenges.pop(0)}
        route.fulfill(status=429 if codes else 400, json=refusal)

    somebody.page.route("**/otp", refuse)
    somebody.asked()
    keys = [request.headers["idempotency-key"] for request in somebody.posts("/otp")]
    assert len(set(keys)) == len(keys) == 3


def test_a_browser_that_cannot_solve_says_so_and_still_takes_a_code(person: MakePerson) -> None:
    somebody = person()
    somebody.page.add_init_script(
        "Object.defineProperty(crypto, 'subtle', { value: undefined }); delete window.Worker;"
    )
    somebody.open()
    somebody.page.route("**/otp", challenge_first)
    somebody.ask()
    somebody.expect_error("challenge_required", at=somebody.code, blamed=False)
