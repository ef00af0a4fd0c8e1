"""A browser that has signed in has its own lane: an attack cannot lock its user out. It can be forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Request, expect

from tests.browser.conftest import MakePerson, Mode, environment, stop_all
from tests.browser.person import PERSIAN, PHONE, TYPED, Person
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

DEVICE_COOKIE = "__Secure-device"
BOTH = pytest.mark.parametrize("mode", ["body", "cookies"])
Attacked = Callable[[Mode], Gateway]


@pytest.fixture(scope="module")
def attacked(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[Attacked]:
    """Gateways whose failure budgets are small: eight failures without a token, two of devices."""
    running: dict[Mode, Gateway] = {}
    variables = environment(
        running_emulator,
        REDIS_URL=redis_server.url,
        OTP_IP_LIMITS="1000/minute",
        OTP_MAX_FAILURES_PER_CLIENT="10",
        OTP_MAX_FAILURES_PER_PHONE="10",
    )

    def start(mode: Mode) -> Gateway:
        if mode not in running:
            more = {"AUTH_COOKIES": "true"} if mode == "cookies" else {}
            running[mode] = Gateway(variables | more, workers=1)
            running[mode].start()
        return running[mode]

    yield start
    stop_all(running.values())


@pytest.fixture
def owner(person: MakePerson, attacked: Attacked, mode: Mode) -> Person:
    """A user who has signed in and out again in this browser."""
    somebody = person(at=attacked(mode)).signed_in()
    somebody.button("sign_out").click()
    expect(somebody.status).to_have_text(somebody.say("signed_out"))
    somebody.seen.clear()
    return somebody


class Attacker:
    """Makes requests for the phone, with a copy of the device token or without one."""

    def __init__(self, gateway: Gateway, token: str = "") -> None:
        self._url = f"{gateway.url}/api/v1/usr/otp"
        self._token = token

    def post(self, path: str = "", **fields: str) -> requests.Response:
        body = {"phone_number": PHONE, "device_token": self._token, **fields}
        headers = {"Sec-Fetch-Site": "same-origin"}
        return requests.post(f"{self._url}{path}", json=body, headers=headers, timeout=10)

    def lock(self, emulator: KavenegarEmulator) -> None:
        """Guess until the failure budget is used up."""
        for _ in range(10):
            sent = self.post()
            if sent.json()["code" if sent.status_code == 429 else "message"] == "too_many_attempts":
                return
            wrong = f"{(int(emulator.code_for(PHONE)) + 1) % 10**6:06d}"
            for _ in range(3):
                self.post("/verify", code=wrong)
            if sent.status_code == 429:
                return
        raise AssertionError("not locked")


def token_of(somebody: Person, mode: Mode) -> str:
    if mode == "cookies":
        kept = {cookie["name"]: cookie["value"] for cookie in somebody.page.context.cookies()}
        return str(kept[DEVICE_COOKIE])
    (token,) = json.loads(somebody.page.evaluate("localStorage.getItem('otp-devices')")).values()
    return str(token)


def body_of(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.post_data or "{}")
    return found


@BOTH
def test_an_attack_without_the_token_does_not_lock_the_user_out(
    owner: Person, attacked: Attacked, mode: Mode, emulator: KavenegarEmulator
) -> None:
    stranger = Attacker(attacked(mode))
    stranger.lock(emulator)
    assert stranger.post().json()["code"] in ("too_many_attempts", "too_many_otp_requests")
    owner.asked().enter(owner.texted())
    expect(owner.greeting).to_be_focused()
    assert len(owner.posts("/otp")) == len(owner.posts("/otp/verify")) == 1


@BOTH
def test_a_locked_lane_is_avoided_without_the_user(
    owner: Person, attacked: Attacked, mode: Mode, emulator: KavenegarEmulator
) -> None:
    thief = Attacker(attacked(mode), token_of(owner, mode))
    thief.lock(emulator)
    owner.asked().enter(owner.texted())
    expect(owner.greeting).to_be_focused()
    # Once with the token, then without it; the script remembers that the lane is locked.
    tokens = [body_of(request)["device_token"] for request in owner.posts("/otp")]
    assert [bool(token) for token in tokens] == [True, False]
    assert [body_of(request)["device_token"] for request in owner.posts("/otp/verify")] == [""]


@BOTH
def test_a_locked_lane_is_avoided_for_a_code_that_the_user_has(
    owner: Person, attacked: Attacked, mode: Mode, emulator: KavenegarEmulator
) -> None:
    thief = Attacker(attacked(mode), token_of(owner, mode))
    thief.lock(emulator)
    # The code of the common lane; the page does not know that the device's lane is locked.
    assert Attacker(attacked(mode)).post().status_code == 200
    owner.phone.fill(TYPED)
    owner.button("have_code").click()
    owner.enter(owner.texted())
    expect(owner.greeting).to_be_focused()


@BOTH
def test_a_device_that_is_not_the_users_is_forgotten(owner: Person, mode: Mode) -> None:
    assert token_of(owner, mode)
    owner.asked().enter(owner.texted())
    owner.page.get_by_label(owner.say("not_my_device")).check()
    owner.button("sign_out").click()
    expect(owner.status).to_have_text(owner.say("forgotten"))
    (revoked,) = owner.posts("/token/revoke")
    assert body_of(revoked)["forget_device"] is True
    assert owner.page.evaluate("localStorage.getItem('otp-devices')") is None
    assert owner.page.context.cookies() == []
    # The next user of this browser has to tick the box again.
    owner.seen.clear()
    owner.asked().enter(owner.texted())
    expect(owner.greeting).to_be_focused()
    assert "device_token" not in body_of(owner.posts("/otp")[0])
    expect(owner.page.get_by_label(owner.say("not_my_device"))).not_to_be_checked()


@pytest.mark.parametrize("mode", ["body"])
def test_the_token_is_found_for_each_format_of_the_number(owner: Person, mode: Mode) -> None:
    token = token_of(owner, mode)
    held = owner.hold("**/otp")
    for typed in (TYPED.translate(PERSIAN), "+98 (0)912-345-6789", "0912 345 6789", "09120000000"):
        owner.page.evaluate(f"new OTP().sendOTP({json.dumps(typed)}).catch(() => 0); 0")
    owner.page.wait_for_timeout(200)
    found = [body_of(route.request).get("device_token") for route in held]
    assert found == [token, token, token, None]
    for route in held:
        route.abort()
    owner.faults.clear()


@pytest.mark.parametrize("mode", ["body"])
def test_the_tokens_of_the_newest_four_phones_are_kept(owner: Person) -> None:
    fulfil = {
        "user": {"id": "x", "phone_number": ""},
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "Bearer",
    }
    owner.page.route("**/verify", lambda route: route.fulfill(json=fulfil | {"device_token": "t"}))
    for number in range(5):
        owner.page.evaluate(f"new OTP().verifyOTP('+98912000000{number}', '123456')")
    kept = json.loads(owner.page.evaluate("localStorage.getItem('otp-devices')"))
    assert [name[-1] for name in kept] == ["4", "3", "2", "1"]
