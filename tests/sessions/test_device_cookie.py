"""A browser whose lane is used up can make a request without the cookie of its device."""

from __future__ import annotations

import pytest
import redis

from otp_gateway.api.device_cookie import DEVICE_COOKIE
from tests.sessions.site import OTP, PHONE, VERIFY, problem_of
from tests.sessions.test_cookies import Browser, set_cookies


@pytest.fixture
def site(embedded_store: redis.Redis) -> Browser:
    return Browser(embedded_store)


def test_an_empty_device_token_makes_the_gateway_ignore_the_cookie(site: Browser) -> None:
    login = site.send(VERIFY, json={"phone_number": PHONE, "code": site.code()})
    cookie = f"{DEVICE_COOKIE}={set_cookies(login)[DEVICE_COOKIE][0]}"
    for _ in range(3):
        assert site.send(OTP, cookie, json={"phone_number": PHONE}).status_code == 200
    # The device's lane is full. A text that is no token changes nothing about the cookie.
    for other in ({}, {"device_token": "-"}):
        reply = site.send(OTP, cookie, json={"phone_number": PHONE} | other)
        assert problem_of(reply) == (429, "too_many_otp_requests")
    assert site.send(OTP, cookie, json={"phone_number": PHONE, "device_token": ""}).status_code == 200
    # The code of the common lane is verified there, and the browser gets a new cookie.
    reply = site.send(
        VERIFY, cookie, json={"phone_number": PHONE, "code": site.outbox.codes[PHONE], "device_token": ""}
    )
    assert reply.status_code == 200, reply.text
    assert DEVICE_COOKIE in set_cookies(reply)
