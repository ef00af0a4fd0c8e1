"""How to provoke each answer that the document describes: by operation and problem code, or status."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.store import connect
from tests.openapi.site import PHONE, Site

OTP, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
REFRESH, REVOKE, ME = "/api/v1/usr/token/refresh", "/api/v1/usr/token/revoke", "/api/v1/usr/me"
JWKS, DOCUMENT, READY = "/.well-known/jwks.json", "/openapi.json", "/readyz"
POSTS = {"sendOtp": OTP, "verifyOtp": VERIFY, "refreshTokens": REFRESH, "revokeSession": REVOKE}
GETS = {
    "getUser": ME,
    "getKeys": JWKS,
    "getHealth": "/healthz",
    "getReadiness": READY,
    "getOpenapi": DOCUMENT,
}
METRICS, METRICS_TOKEN = "/metrics", "a-token-for-scrapers"
NOWHERE = "redis://127.0.0.1:1/0"
ABROAD = "+447400123456"
# The headers that another page of the same site sends. Our cookies are sent with them.
SIBLING = {"Sec-Fetch-Site": "same-site"}
KEY = {"Idempotency-Key": "a-key-for-the-documents-tests"}
# Makes a gateway in the tested mode, with further variables.
Make = Callable[..., Site]
Provoke = Callable[[Make], TestResponse]


def scraped(make: Make) -> TestResponse:
    return make().ask("GET", METRICS, headers={"Authorization": f"Bearer {METRICS_TOKEN}"})


def of_posts(path: str) -> dict[str, Provoke]:
    """The problems that every operation with a body has."""

    def limited(make: Make) -> TestResponse:
        site = make(OTP_IP_LIMITS="1/minute", TOKEN_IP_LIMITS="1/minute")
        site.ask("POST", path, json={})
        return site.ask("POST", path, json={})

    return {
        "invalid_request": lambda make: make().ask("POST", path, data="{", content_type="application/json"),
        "payload_too_large": lambda make: make().ask("POST", path, json={"x": "x" * 9000}),
        "unsupported_media_type": lambda make: make().ask("POST", path, data="{}"),
        "rate_limited": limited,
        "store_unavailable": lambda make: make(redis=connect(NOWHERE)).ask("POST", path, json={}),
        "internal_error": partial(broken, "POST", path),
    }


def got(path: str, make: Make) -> TestResponse:
    return make().ask("GET", path)


def broken(method: str, path: str, make: Make) -> TestResponse:
    site = make()
    site.break_down(path)
    return site.ask(method, path)


def conditional(path: str) -> dict[str, Provoke]:
    return {
        "304": lambda make: make().ask("GET", path, headers={"If-None-Match": "*"}),
        "precondition_failed": lambda make: make().ask("GET", path, headers={"If-Match": '"other"'}),
    }


def failing(error: Exception) -> Provoke:
    def provoke(make: Make) -> TestResponse:
        site = make()
        site.outbox.fault = error
        return site.send()

    return provoke


def unconfigured(then: Callable[[Site], TestResponse]) -> Provoke:
    return lambda make: then(make(configured=False))


def guessed_out(then: Callable[[Site], TestResponse]) -> Provoke:
    def provoke(make: Make) -> TestResponse:
        site = make(OTP_MAX_FAILURES_PER_CLIENT="3")
        for _ in range(3):
            assert site.verify("000000").status_code == 400
        return then(site)

    return provoke


def over_the_limit(make: Make) -> TestResponse:
    site = make()
    for _ in range(3):
        assert site.send().status_code == 200
    return site.send()


def challenged(make: Make) -> TestResponse:
    site = make(OTP_GATE="on", OTP_GATE_CREDIT="1")
    site.send("+989351112233")
    return site.send()


def busy(make: Make) -> TestResponse:
    site = make()
    slots = site.app.extensions["send_slots"]
    slots.set_threads(1)
    with slots.take():
        return site.send()


def in_progress(make: Make) -> TestResponse:
    site = make()
    body = {"phone_number": PHONE}
    repeats: list[TestResponse] = []
    # The client repeats its request while the provider has not answered yet.
    site.outbox.during = lambda: repeats.append(site.ask("POST", OTP, json=body, headers=KEY))
    site.ask("POST", OTP, json=body, headers=KEY)
    return repeats[0]


def send_with_another_body(make: Make) -> TestResponse:
    site = make(KAVENEGAR_TEMPLATE="login")
    site.ask("POST", OTP, json={"phone_number": PHONE}, headers=KEY)
    return site.ask("POST", OTP, json={"phone_number": PHONE, "channel": "call"}, headers=KEY)


def verify_with_another_body(make: Make) -> TestResponse:
    site = make()
    site.ask("POST", VERIFY, json={"phone_number": PHONE, "code": "000000"}, headers=KEY)
    return site.ask("POST", VERIFY, json={"phone_number": PHONE, "code": "000001"}, headers=KEY)


def refresh_with_another_body(site: Site, body: dict[str, Any]) -> TestResponse:
    def refresh(pair: dict[str, Any]) -> TestResponse:
        token = {} if site.cookies else {"refresh_token": pair["refresh_token"]}
        return site.ask("POST", REFRESH, json=token, headers=KEY)

    return refresh(refresh(body).get_json())


def signed_in(then: Callable[[Site, dict[str, Any]], TestResponse]) -> Provoke:
    """Sign in first; ``then`` gets the reply's body, which has the tokens unless they are in cookies."""

    def provoke(make: Make) -> TestResponse:
        site = make()
        return then(site, site.login().get_json())

    return provoke


def from_a_sibling(method: str, path: str, **body: Any) -> Provoke:
    return signed_in(lambda site, _: site.ask(method, path, headers=SIBLING, **body))


PROVOKE: dict[tuple[str, str], Provoke] = {
    **{(name, code): p for name, path in POSTS.items() for code, p in of_posts(path).items()},
    **{(name, "200"): partial(got, path) for name, path in GETS.items()},
    **{(name, "internal_error"): partial(broken, "GET", path) for name, path in GETS.items()},
    **{(name, code): p for name in ("getKeys", "getOpenapi") for code, p in conditional(GETS[name]).items()},
    ("sendOtp", "200"): lambda make: make().send(),
    ("sendOtp", "invalid_phone_number"): lambda make: make().send("0912"),
    ("sendOtp", "unsupported_destination"): lambda make: make().send(ABROAD),
    ("sendOtp", "too_many_attempts"): guessed_out(Site.send),
    ("sendOtp", "too_many_otp_requests"): over_the_limit,
    ("sendOtp", "challenge_required"): challenged,
    # Clients without a token may use 70 % of the budget, rounded down.
    ("sendOtp", "sending_paused"): lambda make: make(OTP_SEND_BUDGET="1/hour").send(),
    ("sendOtp", "invalid_challenge"): lambda make: make().ask(
        "POST", OTP, json={"phone_number": PHONE, "challenge": "bm9uc2Vuc2U="}
    ),
    ("sendOtp", "sms_not_configured"): unconfigured(Site.send),
    ("sendOtp", "sms_busy"): busy,
    ("sendOtp", "request_in_progress"): in_progress,
    ("sendOtp", "idempotency_key_reused"): send_with_another_body,
    ("verifyOtp", "idempotency_key_reused"): verify_with_another_body,
    ("refreshTokens", "idempotency_key_reused"): signed_in(refresh_with_another_body),
    ("sendOtp", "sms_failed"): failing(SmsFailed("refused")),
    ("sendOtp", "sms_unconfirmed"): failing(SmsUnconfirmed("timeout")),
    ("verifyOtp", "200"): lambda make: make().login(),
    ("verifyOtp", "invalid_phone_number"): lambda make: make().verify("123456", "0912"),
    ("verifyOtp", "unsupported_destination"): lambda make: make().verify("123456", ABROAD),
    ("verifyOtp", "invalid_code"): lambda make: make().verify("123456"),
    ("verifyOtp", "too_many_attempts"): guessed_out(lambda site: site.verify("000000")),
    ("verifyOtp", "cross_origin"): from_a_sibling(
        "POST", VERIFY, json={"phone_number": PHONE, "code": "123456"}
    ),
    ("refreshTokens", "200"): signed_in(lambda site, body: site.post_token(REFRESH, body)),
    ("refreshTokens", "invalid_token"): lambda make: make().post_token(REFRESH, {}),
    ("refreshTokens", "cross_origin"): from_a_sibling("POST", REFRESH, json={}),
    ("revokeSession", "204"): signed_in(lambda site, body: site.post_token(REVOKE, body)),
    ("revokeSession", "cross_origin"): from_a_sibling("POST", REVOKE, json={}),
    ("getUser", "200"): signed_in(lambda site, body: site.me(body)),
    ("getUser", "invalid_token"): lambda make: make().me({}),
    ("getUser", "cross_origin"): from_a_sibling("GET", ME),
    ("getMetrics", "200"): scraped,
    ("getMetrics", "internal_error"): partial(broken, "GET", METRICS),
    ("getMetrics", "forbidden"): lambda make: make().ask("GET", METRICS, headers={"Via": "1.1 a-proxy"}),
    ("getMetrics", "invalid_token"): partial(got, METRICS),
    ("getReadiness", "store_unavailable"): lambda make: make(redis=connect(NOWHERE)).ask("GET", READY),
    ("getReadiness", "sms_not_configured"): unconfigured(lambda site: site.ask("GET", READY)),
}
