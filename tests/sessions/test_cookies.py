"""Tokens in cookies: only for pages of our own origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
import redis
from werkzeug.test import TestResponse

from otp_gateway.api.device_cookie import DEVICE_COOKIE
from tests.sessions.forging import variables_of
from tests.sessions.site import (
    INVALID_TOKEN,
    ME,
    NO_IP_LIMIT,
    OTHER_PHONE,
    OTP,
    PHONE,
    REFRESH,
    REVOKE,
    VERIFY,
    Site,
    body_of,
    claims_of,
    pass_time,
    problem_of,
    session_keys,
)

BASE = "https://gateway.example"
OURS = {"Sec-Fetch-Site": "same-origin"}
CROSS_ORIGIN = (403, "cross_origin")
MONTH = 2_592_000
ACCESS, REFRESH_COOKIE = "__Host-access", "__Secure-refresh"
# Headers that a page of another origin makes a browser send, or that no browser's page would send.
FOREIGN = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": BASE},
    {"Sec-Fetch-Site": "same-site", "Origin": BASE},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://gateway.example:8443"},
    {"Origin": "http://gateway.example"},
    {"Origin": "https://sibling.gateway.example"},
    {"Origin": "https://sibling.example"},
    {"Origin": "https://example"},
    {"Origin": "https://gateway.example.evil.example"},
    {"Origin": "https://evil.example/gateway.example"},
    {"Origin": "https://gateway.example@evil.example"},
    {"Origin": "https://gateway.example, https://evil.example"},
    {"Origin": "gateway.example"},
    {"Referer": f"{BASE}/"},
    {"Origin": "http://localhost"},
]
GENUINE = [OURS, {"Sec-Fetch-Site": "same-origin", "Origin": BASE}, {"Origin": BASE}]


@dataclass(frozen=True)
class Jar:
    """The two tokens that a login has put into a browser."""

    access: str
    refresh: str
    user: dict[str, Any]

    def header(self, *refreshes: str) -> str:
        """A Cookie header with the access cookie and these refresh cookies, by default our own."""
        pairs = [(ACCESS, self.access), *((REFRESH_COOKIE, r) for r in refreshes or [self.refresh])]
        return "; ".join(f"{name}={value}" for name, value in pairs)


class Browser(Site):
    """A site with cookies, and what a page of some origin sends to it."""

    def __init__(self, store: redis.Redis, **variables: object) -> None:
        super().__init__(store, **({"AUTH_COOKIES": "true"} | NO_IP_LIMIT | variables))

    def send(
        self,
        path: str,
        cookie: str | None = None,
        headers: dict[str, str] = OURS,
        json: object = None,
        **options: Any,
    ) -> TestResponse:
        given = dict(headers) | ({"Cookie": cookie} if cookie is not None else {})
        if path == ME:
            return self.client.get(path, headers=given, base_url=BASE, **options)
        if "data" not in options:
            options["json"] = {} if json is None else json
        return self.client.post(path, headers=given, base_url=BASE, **options)

    def enter(self, phone: str = PHONE) -> Jar:
        """Log in from a page of our own."""
        reply = self.send(VERIFY, json={"phone_number": phone, "code": self.code(phone)})
        assert reply.status_code == 200, reply.text
        return jar_of(reply)


def set_cookies(reply: TestResponse) -> dict[str, tuple[str, dict[str, str]]]:
    """Value and attributes (names in lower case) of each Set-Cookie."""
    found = {}
    for line in reply.headers.getlist("Set-Cookie"):
        first, *rest = (part.strip() for part in line.split(";"))
        name, _, value = first.partition("=")
        attributes = [part.partition("=") for part in rest]
        assert name not in found
        found[name] = (value, {key.lower(): setting for key, _, setting in attributes})
        SimpleCookie(line)
    return found


def jar_of(reply: TestResponse) -> Jar:
    cookies = set_cookies(reply)
    return Jar(cookies[ACCESS][0], cookies[REFRESH_COOKIE][0], body_of(reply)["user"])


def check_attributes(reply: TestResponse, max_age: Iterable[int], *others: str) -> None:
    cookies = set_cookies(reply)
    assert set(cookies) == {ACCESS, REFRESH_COOKIE, *others}
    for name, path in ((ACCESS, "/"), (REFRESH_COOKIE, "/api/v1/usr/token")):
        attributes = dict(cookies[name][1])
        attributes.pop("expires", None)
        assert int(attributes.pop("max-age")) in max_age
        assert attributes == {"secure": "", "httponly": "", "samesite": "Strict", "path": path}


@pytest.fixture
def site(store: redis.Redis) -> Browser:
    return Browser(store)


class TestGiven:
    def test_a_login_sets_both_with_exactly_these_attributes(self, site: Browser) -> None:
        reply = site.send(VERIFY, json={"phone_number": PHONE, "code": site.code()})
        assert reply.status_code == 200
        check_attributes(reply, [MONTH], DEVICE_COOKIE)
        assert reply.headers["Cache-Control"] == "no-store"

    def test_no_token_is_in_the_body(self, site: Browser) -> None:
        login = site.send(VERIFY, json={"phone_number": PHONE, "code": site.code()})
        jar = jar_of(login)
        for reply in (login, site.send(REFRESH, jar.header())):
            assert set(body_of(reply)) == {"token_type", "expires_in", "refresh_expires_in", "user"}
            cookies = jar_of(reply)
            for token in (cookies.access, cookies.refresh):
                assert not any(part in reply.text for part in token.split("."))

    def test_a_refresh_sets_both_until_the_same_end(self, site: Browser) -> None:
        jar = site.enter()
        pass_time(site.store, 1000)
        reply = site.send(REFRESH, jar.header())
        check_attributes(reply, range(MONTH - 1002, MONTH - 999))
        new = jar_of(reply)
        assert claims_of(new.access)["sid"] == claims_of(jar.access)["sid"]
        assert claims_of(new.refresh)["jti"] != claims_of(jar.refresh)["jti"]

    def test_the_tokens_are_real_ones(self, site: Browser) -> None:
        jar = site.enter()
        assert (claims_of(jar.access)["token_use"], claims_of(jar.refresh)["token_use"]) == (
            "access",
            "refresh",
        )
        assert jar.user["phone_number"] == PHONE

    def test_asking_for_a_code_sets_none(self, site: Browser) -> None:
        assert not site.send(OTP, json={"phone_number": PHONE}).headers.getlist("Set-Cookie")

    def test_without_the_setting_there_is_never_a_cookie(self, store: redis.Redis) -> None:
        plain = Site(store)
        pair = plain.login()
        for reply in (plain.refresh(pair["refresh_token"]), plain.revoke(pair["refresh_token"])):
            assert not reply.headers.getlist("Set-Cookie")


class TestUsed:
    @pytest.mark.parametrize("headers", GENUINE, ids=str)
    def test_me_refresh_and_revoke_work_from_a_page_of_ours(
        self, site: Browser, headers: dict[str, str]
    ) -> None:
        jar = site.enter()
        assert body_of(site.send(ME, f"{ACCESS}={jar.access}", headers)) == jar.user
        reply = site.send(REFRESH, jar.header(), headers)
        new = jar_of(reply)
        assert new.user == jar.user
        assert body_of(site.send(ME, f"{ACCESS}={new.access}", headers)) == jar.user
        gone = site.send(REVOKE, new.header(), headers)
        assert (gone.status_code, gone.data) == (204, b"")
        assert session_keys(site.store) == []

    def test_a_page_of_ours_on_another_port_or_loopback_without_tls_counts(self, site: Browser) -> None:
        jar = site.enter()
        for base, origin in (
            ("https://gateway.example:8443", "https://gateway.example:8443"),
            ("http://gateway.example", "https://gateway.example"),
            ("http://localhost:8000", "http://localhost:8000"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ):
            reply = site.client.get(
                ME, headers={"Cookie": f"{ACCESS}={jar.access}", "Origin": origin}, base_url=base
            )
            assert reply.status_code == 200, base

    def test_a_refresh_works_long_after_the_access_token_has_expired(self, site: Browser) -> None:
        jar = site.enter()
        old = site.pair(jar.refresh, ends_in=-1).access_token
        assert problem_of(site.send(ME, f"{ACCESS}={old}")) == INVALID_TOKEN
        assert site.send(REFRESH, Jar(old, jar.refresh, {}).header()).status_code == 200

    def test_a_revoke_clears_both_and_works_again_and_again(self, site: Browser) -> None:
        jar = site.enter()
        for cookie in (jar.header(), jar.header(), "", None):
            reply = site.send(REVOKE, cookie)
            assert reply.status_code == 204
            check_attributes(reply, [0])
            assert {value for value, _ in set_cookies(reply).values()} <= {"", '""'}
        assert problem_of(site.send(REFRESH, jar.header())) == INVALID_TOKEN

    def test_without_cookies_refresh_and_me_are_401(self, site: Browser) -> None:
        for cookie in (None, "", f"{ACCESS}=; {REFRESH_COOKIE}=", f"{ACCESS}=x; {REFRESH_COOKIE}=x"):
            for path in (REFRESH, ME):
                reply = site.send(path, cookie)
                assert problem_of(reply) == INVALID_TOKEN
                assert reply.headers["WWW-Authenticate"].startswith("Bearer ")

    def test_a_token_in_the_body_counts_for_nothing(self, site: Browser) -> None:
        jar = site.enter()
        reply = site.send(REFRESH, json={"refresh_token": jar.refresh})
        assert problem_of(reply) == INVALID_TOKEN
        assert site.send(REVOKE, json={"refresh_token": jar.refresh}).status_code == 204
        assert site.send(REFRESH, jar.header()).status_code == 200

    def test_the_two_cookies_do_not_serve_as_each_other(self, site: Browser) -> None:
        jar = site.enter()
        swapped = Jar(jar.refresh, jar.access, {})
        assert problem_of(site.send(REFRESH, swapped.header())) == INVALID_TOKEN
        assert problem_of(site.send(ME, f"{ACCESS}={jar.refresh}")) == INVALID_TOKEN
        assert site.send(REVOKE, swapped.header()).status_code == 204
        assert len(session_keys(site.store)) == 1

    def test_a_bearer_still_works_at_me_from_anywhere(self, site: Browser) -> None:
        jar = site.enter()
        for headers in FOREIGN:
            reply = site.send(ME, headers=headers | {"Authorization": f"Bearer {jar.access}"})
            assert body_of(reply) == jar.user

    def test_a_bad_bearer_is_not_made_good_by_a_cookie(self, site: Browser) -> None:
        jar = site.enter()
        for value in ("Bearer x", "Basic x", "", f"Bearer {jar.refresh}"):
            reply = site.send(ME, f"{ACCESS}={jar.access}", OURS | {"Authorization": value})
            assert problem_of(reply) == INVALID_TOKEN

    def test_a_used_cookie_gives_the_same_pair_within_ten_seconds_and_ends_all_after(
        self, site: Browser
    ) -> None:
        jar = site.enter()
        first, again = (jar_of(site.send(REFRESH, jar.header())) for _ in range(2))
        assert (first.access, first.refresh) == (again.access, again.refresh)
        pass_time(site.store, 10)
        assert problem_of(site.send(REFRESH, jar.header())) == INVALID_TOKEN
        assert problem_of(site.send(REFRESH, first.header())) == INVALID_TOKEN

    def test_it_works_with_a_private_key_and_over_a_change_of_secrets(self, store: redis.Redis) -> None:
        jar = Browser(store, **variables_of("ES256")).enter()
        secret = "another-tests-only-secret-key-of-some-length"
        fallback = Browser(store, SECRET_KEY=secret).settings.secret_key
        assert fallback == secret
        old = Browser(store, **variables_of("ES256")).settings.secret_key
        site = Browser(store, SECRET_KEY=secret, SECRET_KEY_FALLBACKS=old, **variables_of("ES256"))
        assert jar_of(site.send(REFRESH, jar.header())).user == jar.user


class TestForeignPages:
    @pytest.mark.parametrize("headers", FOREIGN, ids=str)
    def test_none_can_refresh_revoke_or_read(self, site: Browser, headers: dict[str, str]) -> None:
        jar = site.enter()
        for path in (REFRESH, REVOKE, ME):
            reply = site.send(path, jar.header(), headers)
            assert problem_of(reply) == CROSS_ORIGIN
            assert not reply.headers.getlist("Set-Cookie")
            assert PHONE not in reply.text
        # No token was rotated and no session ended.
        (key,) = session_keys(site.store)
        assert site.store.hget(key, "refresh") == claims_of(jar.refresh)["jti"].encode()

    @pytest.mark.parametrize("headers", FOREIGN, ids=str)
    def test_none_can_log_its_visitor_in(self, site: Browser, headers: dict[str, str]) -> None:
        body = {"phone_number": OTHER_PHONE, "code": site.code(OTHER_PHONE)}
        reply = site.send(VERIFY, headers=headers, json=body)
        assert problem_of(reply) == CROSS_ORIGIN
        assert not reply.headers.getlist("Set-Cookie")
        # The code is neither compared nor used.
        assert session_keys(site.store) == []
        assert site.send(VERIFY, json=body).status_code == 200

    def test_none_can_cost_a_try(self, site: Browser) -> None:
        code = site.code()
        wrong = f"{(int(code) + 1) % 10**6:06d}"
        for _ in range(5):
            reply = site.send(VERIFY, headers={}, json={"phone_number": PHONE, "code": wrong})
            assert problem_of(reply) == CROSS_ORIGIN
        assert site.send(VERIFY, json={"phone_number": PHONE, "code": code}).status_code == 200

    @pytest.mark.parametrize("data", ["", "{", "null", "[]", '"x"', "H\x00G", "[null, null]"])
    def test_a_body_that_is_no_json_object_is_400_and_uses_nothing(self, site: Browser, data: str) -> None:
        jar = site.enter()
        for path in (REFRESH, REVOKE):
            reply = site.send(path, jar.header(), data=data, content_type="application/json")
            assert problem_of(reply) == (400, "invalid_request")
        assert site.send(REFRESH, jar.header()).status_code == 200

    @pytest.mark.parametrize(
        "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    )
    def test_what_a_form_can_post_is_415(self, site: Browser, kind: str | None) -> None:
        jar = site.enter()
        for path in (REFRESH, REVOKE, VERIFY):
            for data in ("", "{}"):
                reply = site.send(path, jar.header(), data=data, content_type=kind)
                assert problem_of(reply) == (415, "unsupported_media_type")
        assert len(session_keys(site.store)) == 1

    def test_a_body_over_eight_kilobytes_is_413(self, site: Browser) -> None:
        jar = site.enter()
        for path in (REFRESH, REVOKE):
            reply = site.send(path, jar.header(), json={"x": "y" * 9000})
            assert problem_of(reply) == (413, "payload_too_large")

    def test_they_count_for_the_ip_limit_all_the_same(self, store: redis.Redis) -> None:
        site = Browser(store, TOKEN_IP_LIMITS="2/minute")
        replies = [site.send(REFRESH, headers={}) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [403, 403, 429]


Mix = Callable[[str, str], list[str]]
MIXES: dict[str, Mix] = {
    "before": lambda planted, own: [planted, own],
    "after": lambda planted, own: [own, planted],
    "around": lambda planted, own: [planted, own, planted],
    "many": lambda planted, own: [planted] * 20 + [own],
    "with garbage": lambda planted, own: ["", "x", "a.b.c", planted[:-1], planted, own],
}


class TestPlantedCookie:
    """A page of a sibling subdomain can set ``__Secure-refresh`` for the whole domain."""

    @pytest.fixture
    def own(self, site: Browser) -> Jar:
        return site.enter(PHONE)

    @pytest.fixture
    def planter(self, site: Browser) -> Jar:
        return site.enter(OTHER_PHONE)

    @staticmethod
    def lives(site: Browser, jar: Jar) -> bool:
        return site.send(REFRESH, jar.header()).status_code == 200

    def test_alone_it_opens_nothing(self, site: Browser, own: Jar, planter: Jar) -> None:
        for cookie in (f"{REFRESH_COOKIE}={planter.refresh}", own.header(planter.refresh)):
            reply = site.send(REFRESH, cookie)
            assert problem_of(reply) == INVALID_TOKEN
            assert not reply.headers.getlist("Set-Cookie")
            assert site.send(REVOKE, cookie).status_code == 204
        # It is neither rotated nor ended. The same is true of the session whose cookie it replaced.
        assert self.lives(site, planter)
        assert self.lives(site, own)

    @pytest.mark.parametrize("name", MIXES)
    def test_beside_the_genuine_one_it_is_passed_over(
        self, site: Browser, own: Jar, planter: Jar, name: str
    ) -> None:
        cookie = own.header(*MIXES[name](planter.refresh, own.refresh))
        reply = site.send(REFRESH, cookie)
        assert jar_of(reply).user == own.user
        assert claims_of(jar_of(reply).refresh)["sid"] == claims_of(own.refresh)["sid"]
        assert self.lives(site, planter)

    @pytest.mark.parametrize("name", MIXES)
    def test_beside_the_genuine_one_a_revoke_ends_the_genuine_session(
        self, site: Browser, own: Jar, planter: Jar, name: str
    ) -> None:
        cookie = own.header(*MIXES[name](planter.refresh, own.refresh))
        assert site.send(REVOKE, cookie).status_code == 204
        assert not self.lives(site, own)
        assert self.lives(site, planter)

    def test_of_another_session_of_the_same_phone_it_is_passed_over_too(
        self, site: Browser, own: Jar
    ) -> None:
        other = site.enter(PHONE)
        reply = site.send(REFRESH, own.header(other.refresh, own.refresh))
        assert claims_of(jar_of(reply).refresh)["sid"] == claims_of(own.refresh)["sid"]
        assert problem_of(site.send(REFRESH, own.header(other.refresh))) == INVALID_TOKEN
        assert self.lives(site, other)

    def test_a_forged_one_that_claims_the_same_session_is_passed_over(
        self, site: Browser, own: Jar, planter: Jar
    ) -> None:
        head, _, signature = planter.refresh.split(".")
        forged = ".".join([head, own.refresh.split(".")[1], signature])
        assert jar_of(site.send(REFRESH, own.header(forged, own.refresh))).user == own.user

    def test_an_older_link_of_the_same_session_in_front_does_not_log_out_within_ten_seconds(
        self, site: Browser, own: Jar
    ) -> None:
        new = jar_of(site.send(REFRESH, own.header()))
        reply = site.send(REFRESH, new.header(own.refresh, new.refresh))
        assert jar_of(reply).refresh == new.refresh
