"""Each route of the API has its own limit, which is set at the route."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.support import Recorder, make_api

LIMITS: dict[str, Any] = {"OTP_IP_LIMITS": "7/minute", "TOKEN_IP_LIMITS": "11/minute"}
EXPECTED = {
    "/api/v1/usr/otp": 7,
    "/api/v1/usr/otp/verify": 7,
    "/api/v1/usr/token/refresh": 11,
    "/api/v1/usr/token/revoke": 11,
}


@pytest.mark.parametrize("path", EXPECTED)
def test_a_route_counts_by_the_setting_that_is_named_for_it(path: str) -> None:
    api = make_api(sender=Recorder(), **LIMITS)
    reply = api.app.test_client().post(path, json={})
    assert reply.headers["RateLimit-Policy"] == f'"ip";q={EXPECTED[path]};w=60'
    assert reply.headers["RateLimit"].startswith(f'"ip";r={EXPECTED[path] - 1};')


def test_every_route_that_takes_a_post_is_limited() -> None:
    app = make_api(sender=Recorder(), **LIMITS).app
    posts = {str(rule) for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert posts == set(EXPECTED)
