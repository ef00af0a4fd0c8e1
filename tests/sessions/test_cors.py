"""Pages of other origins: none by default, those that are listed, never with cookies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from werkzeug.test import TestResponse

from tests.sessions.site import JWKS, ME, OTP, PHONE, REFRESH, REVOKE, VERIFY, Site

APP = "https://app.example.com"
ADMIN = "http://admin.example.com:8080"
LISTED = f"{APP}, {ADMIN}"
ROUTES = [(OTP, "POST"), (VERIFY, "POST"), (REFRESH, "POST"), (REVOKE, "POST"), (ME, "GET"), (JWKS, "GET")]
UNKNOWN = "/api/v1/usr/nothing/here"
EXPOSED = {"ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id"}
OTHERS = [
    "https://other.example.com",
    "https://example.com",
    "https://app.example.com.evil.example",
    "https://evil.example/https://app.example.com",
    "https://appXexample.com",
    "https://app.example.com:8443",
    "https://app.example.com:443",
    "http://app.example.com",
    "https://sub.app.example.com",
    "http://admin.example.com",
    "http://admin.example.com:80801",
    "https://app.example.com ",
    "https://app.example.com/",
    "https://app.example.com, http://admin.example.com:8080",
    "null",
    "*",
    "x",
]


def cors_headers(reply: TestResponse) -> dict[str, list[str]]:
    return {
        name.lower(): reply.headers.getlist(name)
        for name, _ in reply.headers
        if name.lower().startswith("access-control-")
    }


def every_status(site: Site, origin: str | None) -> Iterator[tuple[str, TestResponse]]:
    """A reply of each kind, as a page of this origin gets it."""
    headers = {"Origin": origin} if origin is not None else {}

    def post(path: str, body: object) -> TestResponse:
        return site.client.post(path, json=body, headers=headers)

    yield "200", post(OTP, {"phone_number": PHONE})
    login = post(VERIFY, {"phone_number": PHONE, "code": site.outbox.code_for(PHONE)})
    yield "200", login
    token = {"refresh_token": login.get_json()["refresh_token"]}
    yield "200", post(REFRESH, token)
    yield "204", post(REVOKE, token)
    bearer = {"Authorization": f"Bearer {login.get_json()['access_token']}"}
    yield "200", site.client.get(ME, headers=headers | bearer)
    yield "200", site.client.get(JWKS, headers=headers)
    yield "400", post(VERIFY, {})
    yield "401", post(REFRESH, {"refresh_token": "x"})
    yield "401", site.client.get(ME, headers=headers)
    yield "404", site.client.get(UNKNOWN, headers=headers)
    yield "405", site.client.get(REFRESH, headers=headers)
    yield "413", post(REVOKE, {"refresh_token": "x" * 9000})
    yield "415", site.client.post(REVOKE, data="x", headers=headers)
    site.outbox.fault = RuntimeError("a fault of the test")
    yield "500", post(OTP, {"phone_number": PHONE})
    site.outbox.fault = None
    for _ in range(8):
        reply = post(REFRESH, {"refresh_token": "x"})
    yield "429", reply


def preflight(site: Site, path: str, method: str, origin: str | None, headers: str = "") -> TestResponse:
    given = {"Access-Control-Request-Method": method}
    if origin is not None:
        given["Origin"] = origin
    if headers:
        given["Access-Control-Request-Headers"] = headers
    return site.client.options(path, headers=given)


@pytest.fixture
def closed(embedded_store: redis.Redis) -> Site:
    return Site(embedded_store, TOKEN_IP_LIMITS="8/minute")


@pytest.fixture(params=[APP, LISTED], ids=["one", "two"])
def opened(embedded_store: redis.Redis, request: pytest.FixtureRequest) -> Site:
    return Site(embedded_store, TOKEN_IP_LIMITS="8/minute", CORS_ORIGINS=request.param)


class TestByDefault:
    @pytest.mark.parametrize("origin", [None, APP, "null", "http://localhost"])
    def test_there_is_never_a_cors_header(self, closed: Site, origin: str | None) -> None:
        for status, reply in every_status(closed, origin):
            assert str(reply.status_code) == status
            assert cors_headers(reply) == {}

    @pytest.mark.parametrize(("path", "method"), [*ROUTES, (UNKNOWN, "GET")])
    def test_nor_to_a_preflight(self, closed: Site, path: str, method: str) -> None:
        assert cors_headers(preflight(closed, path, method, APP, "content-type")) == {}

    def test_cookies_change_nothing_in_that(self, embedded_store: redis.Redis) -> None:
        site = Site(embedded_store, AUTH_COOKIES="true")
        for path, method in ROUTES:
            assert cors_headers(preflight(site, path, method, APP)) == {}
            assert cors_headers(site.client.open(path, method=method, headers={"Origin": APP})) == {}


class TestListedOrigins:
    @pytest.mark.parametrize(("path", "method"), ROUTES)
    def test_a_preflight_is_answered_on_each_route(self, opened: Site, path: str, method: str) -> None:
        for wanted in ("content-type", "authorization,content-type", "x-request-id", ""):
            reply = preflight(opened, path, method, APP, wanted)
            assert reply.status_code in (200, 204)
            found = cors_headers(reply)
            assert found["access-control-allow-origin"] == [APP]
            (methods,) = found["access-control-allow-methods"]
            assert method in methods.split(", ")
            assert not {"DELETE", "PUT", "PATCH", "*"} & set(methods.split(", "))
            if wanted:
                (allowed,) = found["access-control-allow-headers"]
                assert {name.strip() for name in allowed.lower().split(",")} == set(wanted.split(","))
            assert int(found["access-control-max-age"][0]) > 0
            assert "access-control-allow-credentials" not in found
            assert "Origin" in reply.vary
            # A preflight does not count for any address.
            assert "RateLimit" not in reply.headers

    def test_other_headers_and_methods_are_not_allowed(self, opened: Site) -> None:
        found = cors_headers(preflight(opened, REFRESH, "POST", APP, "cookie, x-evil, content-type"))
        assert found["access-control-allow-headers"] == ["content-type"]
        for method in ("DELETE", "PUT", "PATCH", "TRACE", "get ", ""):
            found = cors_headers(preflight(opened, REFRESH, method, APP, "content-type"))
            assert "DELETE" not in str(found)
            assert method == "get " or "access-control-allow-headers" not in found

    def test_every_kind_of_reply_can_be_read(self, opened: Site) -> None:
        seen = set()
        for status, reply in every_status(opened, APP):
            assert str(reply.status_code) == status
            seen.add(status)
            found = cors_headers(reply)
            assert found["access-control-allow-origin"] == [APP]
            (exposed,) = found["access-control-expose-headers"]
            assert {name.strip().lower() for name in exposed.split(",")} == EXPOSED
            assert set(found) == {"access-control-allow-origin", "access-control-expose-headers"}
            assert "Origin" in reply.vary
            assert not reply.headers.getlist("Set-Cookie")
        assert seen == {"200", "204", "400", "401", "404", "405", "413", "415", "429", "500"}

    def test_each_of_two_gets_its_own_name(self, embedded_store: redis.Redis) -> None:
        site = Site(embedded_store, CORS_ORIGINS=LISTED)
        for origin in (APP, ADMIN):
            for path in (ME, UNKNOWN, JWKS):
                found = cors_headers(site.client.get(path, headers={"Origin": origin}))
                assert found["access-control-allow-origin"] == [origin]

    @pytest.mark.parametrize("origin", OTHERS)
    def test_any_other_origin_gets_nothing(self, opened: Site, origin: str) -> None:
        for path, method in [*ROUTES, (UNKNOWN, "GET")]:
            for reply in (
                preflight(opened, path, method, origin, "content-type"),
                opened.client.open(path, method=method, headers={"Origin": origin}),
            ):
                assert cors_headers(reply) == {}
                assert "Origin" in reply.vary

    @pytest.mark.parametrize("origin", [None, ""])
    def test_a_request_without_an_origin_is_told_no_origins(self, opened: Site, origin: str | None) -> None:
        """Fetch standard, 3.3.3: the header has one value, and it answers an Origin."""
        headers = {"Origin": origin} if origin is not None else {}
        for path, method in ROUTES:
            reply = opened.client.open(path, method=method, headers=headers)
            assert "Origin" in reply.vary
            assert cors_headers(reply) == {}

    def test_what_is_outside_the_api_stays_closed(self, opened: Site) -> None:
        for path in ("/healthz", "/readyz", "/nothing", "/", "/api/v1/usrx/otp", "/.well-known/other"):
            reply = opened.client.get(path, headers={"Origin": APP})
            assert cors_headers(reply) == {}
            assert "Origin" in reply.vary

    @pytest.mark.parametrize(
        ("listed", "others"),
        [
            ("http://[::1]:3000", ["http://1:3000", "http://::3000", "http://1:3000.evil.example"]),
            ("http://[::1]", ["http://1", "http://1.evil.example", "http://:"]),
        ],
    )
    def test_an_ipv6_origin_is_matched_as_it_is_written(
        self, embedded_store: redis.Redis, listed: str, others: list[str]
    ) -> None:
        """Its brackets are not a pattern."""
        site = Site(embedded_store, CORS_ORIGINS=listed)
        found = {o: cors_headers(site.client.get(ME, headers={"Origin": o})) for o in [listed, *others]}
        assert [origin for origin, headers in found.items() if headers] == [listed]
