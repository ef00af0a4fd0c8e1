"""/openapi.json is sound, and what the gateway really answers is what it says."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from werkzeug.test import TestResponse

from otp_gateway import create_app
from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.store import connect
from tests.conftest import make_settings
from tests.support.gateway import ROOT

PHONE = "+989123456789"
OTP, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
REFRESH, REVOKE, ME = "/api/v1/usr/token/refresh", "/api/v1/usr/token/revoke", "/api/v1/usr/me"
OWN = {"Sec-Fetch-Site": "same-origin"}


class Outbox:
    """Remembers codes, or fails as it is told."""

    configured = True

    def __init__(self) -> None:
        self.code = ""
        self.error: Exception | None = None

    def send(self, phone: PhoneNumber, code: str, channel: Channel, reference: int) -> None:
        del phone, channel, reference
        if self.error:
            raise self.error
        self.code = code


class Site:
    """A gateway, and the document that it serves of itself."""

    def __init__(self, redis: Any = None, **variables: object) -> None:
        self.outbox = Outbox()
        settings = make_settings(**({"OTP_IP_LIMITS": "1000/minute"} | variables))
        self.client = create_app(settings, redis=redis, sender=self.outbox).test_client()
        self.document: dict[str, Any] = self.client.get("/openapi.json").get_json()

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """A reply, held against the document."""
        reply = self.client.open(path, method=method, base_url="https://localhost", **options)
        responses = self.document["paths"][path][method.lower()]["responses"]
        assert str(reply.status_code) in responses, f"{method} {path}: {reply.status_code} is not described"
        described = responses[str(reply.status_code)]
        missing = set(described["headers"]) - set(reply.headers.keys())
        assert not missing, f"{reply.status_code} without {missing}"
        if "content" in described:
            schema = described["content"][reply.mimetype]["schema"] | {
                "components": self.document["components"]
            }
            Draft202012Validator(schema).validate(reply.get_json())
        else:
            assert not reply.data
        return reply

    def login(self, **options: Any) -> TestResponse:
        self.ask("POST", OTP, json={"phone_number": PHONE})
        return self.ask("POST", VERIFY, json={"phone_number": PHONE, "code": self.outbox.code}, **options)


@pytest.fixture(params=["false", "true"], ids=["body", "cookies"])
def cookies(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_document_is_sound_and_carries_the_projects_version(cookies: str) -> None:
    document = Site(AUTH_COOKIES=cookies).document
    validate(document)
    assert document["openapi"].startswith("3.1.")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert document["info"]["version"] == project["version"]


def test_every_route_of_the_api_is_described() -> None:
    site = Site()
    rules = {
        (rule.rule, method.lower())
        for rule in site.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # Pages for people, and the document itself.
        if not rule.endpoint.startswith("pages.") and rule.rule not in ("/openapi.json", "/metrics")
    }
    described = {(path, method) for path, methods in site.document["paths"].items() for method in methods}
    assert described == rules


def test_the_whole_flow_with_tokens_in_bodies_is_as_described() -> None:
    site = Site()
    pair = site.login().get_json()
    assert site.ask("GET", ME, headers={"Authorization": f"Bearer {pair['access_token']}"}).status_code == 200
    pair = site.ask("POST", REFRESH, json={"refresh_token": pair["refresh_token"]}).get_json()
    assert site.ask("POST", REVOKE, json={"refresh_token": pair["refresh_token"]}).status_code == 204
    gone = site.ask("POST", REFRESH, json={"refresh_token": pair["refresh_token"]})
    assert gone.status_code == 401


def test_the_whole_flow_with_cookies_is_as_described() -> None:
    site = Site(AUTH_COOKIES="true")
    assert site.login(headers=OWN).status_code == 200
    assert site.ask("GET", ME, headers=OWN).status_code == 200
    assert site.ask("POST", REFRESH, json={}, headers=OWN).status_code == 200
    assert site.ask("POST", REFRESH, json={}, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert site.ask("POST", REVOKE, json={}, headers=OWN).status_code == 204


def test_probes_and_keys_are_as_described() -> None:
    for path in ("/healthz", "/readyz", "/.well-known/jwks.json"):
        assert Site().ask("GET", path).status_code == 200


def over_the_limit(site: Site) -> TestResponse:
    for _ in range(5):
        site.ask("POST", OTP, json={"phone_number": PHONE})
    return site.ask("POST", OTP, json={"phone_number": PHONE})


def guessed_out(site: Site) -> TestResponse:
    wrong = {"phone_number": PHONE, "code": "000000"}
    for _ in range(3):
        assert site.ask("POST", VERIFY, json=wrong).status_code == 400
    return site.ask("POST", VERIFY, json=wrong)


@pytest.mark.parametrize(
    ("provoke", "status", "code"),
    [
        (lambda s: s.ask("POST", OTP, data="{", content_type="application/json"), 400, "invalid_request"),
        (lambda s: s.ask("POST", OTP, json={"phone_number": "0912"}), 400, "invalid_phone_number"),
        (
            lambda s: s.ask("POST", OTP, json={"phone_number": "+447911123456"}),
            400,
            "unsupported_destination",
        ),
        (
            lambda s: s.ask("POST", OTP, json={"phone_number": PHONE, "x": "x" * 9000}),
            413,
            "payload_too_large",
        ),
        (lambda s: s.ask("POST", OTP, data="x"), 415, "unsupported_media_type"),
        (over_the_limit, 429, "too_many_otp_requests"),
        (guessed_out, 429, "too_many_attempts"),
        (lambda s: s.ask("GET", ME), 401, "invalid_token"),
    ],
)
def test_errors_of_the_client_are_as_described(
    provoke: Callable[[Site], TestResponse], status: int, code: str
) -> None:
    reply = provoke(Site())
    assert (reply.status_code, reply.get_json()["code"]) == (status, code)


def test_the_limit_of_an_address_is_as_described() -> None:
    site = Site(OTP_IP_LIMITS="1/minute")
    site.ask("POST", VERIFY, json={})
    assert site.ask("POST", VERIFY, json={}).get_json()["code"] == "rate_limited"


@pytest.mark.parametrize("error", [SmsFailed("refused"), SmsUnconfirmed("timeout")])
def test_failures_of_the_provider_are_as_described(error: SmsFailed | SmsUnconfirmed) -> None:
    site = Site()
    site.outbox.error = error
    assert site.ask("POST", OTP, json={"phone_number": PHONE}).get_json()["code"] == error.code


def test_a_store_that_is_away_is_as_described() -> None:
    site = Site(redis=connect("redis://127.0.0.1:1/0"))
    assert site.ask("POST", OTP, json={"phone_number": PHONE}).status_code == 503
    assert site.ask("GET", "/readyz").status_code == 503
