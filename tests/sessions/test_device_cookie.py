"""The device token in a cookie: for the newest four phones, and only for the two endpoints that read it."""

from __future__ import annotations

import pytest
import redis
from werkzeug.test import TestResponse

from otp_gateway.api.device_cookie import DEVICE_COOKIE
from tests.sessions.site import OTHER_PHONE, OTP, PHONE, REVOKE, VERIFY, body_of, problem_of
from tests.sessions.test_cookies import OURS, Browser, Jar, jar_of, set_cookies

PATH = "/api/v1/usr/otp"
LIFETIME = 90 * 86_400
ATTRIBUTES = {"secure": "", "httponly": "", "samesite": "Strict", "path": PATH}


@pytest.fixture
def site(store: redis.Redis) -> Browser:
    return Browser(store)


def enter(site: Browser, phone: str = PHONE, cookie: str | None = None) -> TestResponse:
    """The reply of a login from a page of our own."""
    reply = site.send(VERIFY, cookie, json={"phone_number": phone, "code": site.code(phone)})
    assert reply.status_code == 200, reply.text
    return reply


def cookie_of(reply: TestResponse) -> str:
    return set_cookies(reply)[DEVICE_COOKIE][0]


def lanes(site: Browser) -> int:
    """Sends of phones in the device lane."""
    return sum(int(site.store.llen(key)) for key in site.store.scan_iter("otp:*:d:sends"))


def test_a_login_sets_it_with_exactly_these_attributes(site: Browser) -> None:
    reply = enter(site)
    value, attributes = set_cookies(reply)[DEVICE_COOKIE]
    attributes.pop("expires")
    assert int(attributes.pop("max-age")) == LIFETIME
    assert attributes == ATTRIBUTES
    assert 0 < len(value) <= 120
    assert value not in reply.text
    assert "device_token" not in body_of(reply)


def test_it_makes_both_endpoints_use_the_device_lane(site: Browser) -> None:
    cookie = f"{DEVICE_COOKIE}={cookie_of(enter(site))}"
    sent = site.send(OTP, cookie, json={"phone_number": PHONE})
    assert sent.status_code == 200
    assert lanes(site) == 1
    body = {"phone_number": PHONE, "code": site.outbox.code_for(PHONE)}
    # Without the cookie, the code of this lane is unknown.
    assert problem_of(site.send(VERIFY, json=body)) == (400, "invalid_code")
    assert site.send(VERIFY, cookie, json=body).status_code == 200


def test_a_page_of_another_origin_cannot_use_it(site: Browser) -> None:
    cookie = f"{DEVICE_COOKIE}={cookie_of(enter(site))}"
    body = f'{{"phone_number": "{PHONE}"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        reply = site.send(OTP, cookie, data=body, content_type=kind)
        assert problem_of(reply) == (415, "unsupported_media_type")
    # A page that sends JSON needs a preflight, which fails for every other origin.
    preflight = site.client.options(OTP, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert lanes(site) == 0


def test_it_keeps_the_newest_four_phones_in_at_most_600_bytes(site: Browser) -> None:
    phones = [f"+98912345678{n}" for n in range(6)]
    cookie, largest = "", 0
    for phone in phones:
        reply = enter(site, phone, f"{DEVICE_COOKIE}={cookie}" if cookie else None)
        cookie = cookie_of(reply)
        (line,) = (line for line in reply.headers.getlist("Set-Cookie") if line.startswith(DEVICE_COOKIE))
        largest = max(largest, len(line))
    assert largest <= 600
    for phone in phones:
        site.send(OTP, f"{DEVICE_COOKIE}={cookie}", json={"phone_number": phone})
    assert lanes(site) == 4
    with_lane = {key.split(b":d:")[0] for key in site.store.scan_iter("otp:*:d:sends")}
    assert len(with_lane) == 4


def test_a_second_login_of_a_phone_replaces_its_token(site: Browser) -> None:
    first = cookie_of(enter(site))
    both = cookie_of(enter(site, OTHER_PHONE, f"{DEVICE_COOKIE}={first}"))
    again = cookie_of(enter(site, PHONE, f"{DEVICE_COOKIE}={both}"))
    assert len(again.split(".")) == len(both.split(".")) == 2
    assert first not in again
    assert again.split(".")[1] == both.split(".")[0]


@pytest.mark.parametrize("theirs", ["", "x", "A" * 40, ".".join(["A" * 40] * 8), '"%s"' % ("B" * 40)])
def test_a_cookie_that_a_sibling_subdomain_has_set_hides_nothing(site: Browser, theirs: str) -> None:
    both = f"{DEVICE_COOKIE}={theirs}; {DEVICE_COOKIE}={cookie_of(enter(site))}"
    assert site.send(OTP, both, json={"phone_number": PHONE}).status_code == 200
    assert lanes(site) == 1


def test_an_empty_device_token_makes_the_gateway_ignore_the_cookie(site: Browser) -> None:
    login = site.send(VERIFY, json={"phone_number": PHONE, "code": site.code()})
    cookie = f"{DEVICE_COOKIE}={set_cookies(login)[DEVICE_COOKIE][0]}"
    for _ in range(3):
        assert site.send(OTP, cookie, json={"phone_number": PHONE}).status_code == 200
    # The device's lane is full. A text that is not a token does not change how the cookie counts.
    for other in ({}, {"device_token": "-"}):
        reply = site.send(OTP, cookie, json={"phone_number": PHONE} | other)
        assert problem_of(reply) == (429, "too_many_otp_requests")
    assert site.send(OTP, cookie, json={"phone_number": PHONE, "device_token": ""}).status_code == 200
    # The code of the common lane is verified there, and the browser gets a new cookie.
    reply = site.send(
        VERIFY, cookie, json={"phone_number": PHONE, "code": site.outbox.code_for(PHONE), "device_token": ""}
    )
    assert reply.status_code == 200, reply.text
    assert DEVICE_COOKIE in set_cookies(reply)


@pytest.mark.parametrize("signed_in", [True, False])
def test_a_sign_out_forgets_the_device_if_it_says_so(site: Browser, *, signed_in: bool) -> None:
    jar = jar_of(enter(site))
    reply = site.send(REVOKE, jar.header() if signed_in else None, json={"forget_device": True})
    assert reply.status_code == 204
    value, attributes = set_cookies(reply)[DEVICE_COOKIE]
    attributes.pop("expires", None)
    assert (value, int(attributes.pop("max-age"))) == ("", 0)
    assert attributes == ATTRIBUTES


@pytest.mark.parametrize("body", [{}, {"forget_device": False}])
def test_a_sign_out_keeps_the_device_otherwise(site: Browser, body: dict[str, object]) -> None:
    jar = jar_of(enter(site))
    reply = site.send(REVOKE, jar.header(), json=body)
    assert reply.status_code == 204
    assert DEVICE_COOKIE not in set_cookies(reply)


@pytest.mark.parametrize("value", [None, 0, 1, "true", "", [], {}])
def test_only_true_and_false_say_whether_the_device_is_forgotten(site: Browser, value: object) -> None:
    jar = jar_of(enter(site))
    reply = site.send(REVOKE, jar.header(), json={"forget_device": value})
    assert problem_of(reply) == (400, "invalid_request")
    assert list(body_of(reply)["errors"]) == ["forget_device"]
    # The session has not ended.
    assert site.send("/api/v1/usr/token/refresh", jar.header(), OURS).status_code == 200


def test_a_page_of_another_origin_cannot_make_the_browser_forget_it(site: Browser) -> None:
    jar: Jar = jar_of(enter(site))
    reply = site.send(REVOKE, jar.header(), {"Sec-Fetch-Site": "same-site"}, json={"forget_device": True})
    assert problem_of(reply) == (403, "cross_origin")
    assert "Set-Cookie" not in reply.headers


def test_without_device_tokens_no_cookie_is_set(store: redis.Redis) -> None:
    site = Browser(store, OTP_DEVICE_DAYS=0)
    assert DEVICE_COOKIE not in set_cookies(enter(site))
