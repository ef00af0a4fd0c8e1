"""Behind a proxy that speaks https, no redirect leads to http, and each reply has an HSTS header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import product
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask

from tests.admin.support import PASSWORD, PASSWORD_HASH, TOKENS, Operator, make_panel, signed_in
from tests.api.support import PHONE
from tests.connections.conftest import environment
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer
from tests.support.wire import ask

SITE = "https://otp.example"
HSTS = "max-age=63072000"
# Values of Host: those that different proxies pass on, and those that an attacker writes.
HOSTS = ["otp.example", "evil.example", "evil.example:1", "[::1]:80", "evil.example/x", "a@b", "", "x:y"]
SCHEMES = ["", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Ssl: on\r\n"]
PATHS = [
    "/admin",
    "/admin?next=%2Fx",
    "/admin/login",
    "/admin/accounts/otptoken",
    "/admin/usage",
    "//admin/",
    "//evil.example/../admin",
    "/admin//login/",
    "///admin///usage///",
    "/admin/",
    "/admin/accounts/otptoken/",
    "/healthz/",
    "http://evil.example/admin",
    "https://evil.example//admin",
    "//evil.example//healthz",
    "/%5Cevil.example//healthz",
    "/%5C%5Cevil.example/admin",
]


@pytest.fixture(scope="module")
def panel(redis_server: RedisServer) -> Iterator[Gateway]:
    variables = {"TRUSTED_PROXIES": "1", "FORWARDED_ALLOW_IPS": "*", "ADMIN_PASSWORD_HASH": PASSWORD_HASH}
    with Gateway(environment(redis_server, **variables)) as gateway:
        yield gateway


def assert_stays(location: str, path: str) -> None:
    """A browser that follows it stays at the site."""
    assert re.match(r"/(?![/\\])", location), (path, location)
    assert urljoin(f"{SITE}{path if path.startswith('/') else '/'}", location).startswith(f"{SITE}/")
    assert not urlsplit(location).netloc


@pytest.mark.parametrize("path", PATHS)
def test_each_redirect_is_relative_whatever_host_and_scheme_arrive(panel: Gateway, path: str) -> None:
    found = set()
    for host, scheme, method in product(HOSTS, SCHEMES, ("GET", "POST")):
        data = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{scheme}Connection: close\r\n\r\n"
        answer = ask(panel, data.encode("latin-1"))
        assert answer.status < 500, (host, answer)
        location = answer.headers.get("location")
        assert (location is not None) == (300 <= answer.status < 400)
        if location is not None:
            assert_stays(location, path)
            assert b"evil" not in answer.body
            found.add(answer.status)
    if path.startswith("/admin") and not path.endswith("/"):
        assert 308 in found


def test_redirects_of_the_panel_itself_are_relative() -> None:
    operator = signed_in(make_panel(TRUSTED_PROXIES=1))
    operator.api.post("/api/v1/usr/otp", {"phone_number": PHONE})
    stranger = Operator(operator.api)
    found = operator.submit(TOKENS, phone=PHONE)
    replies = [
        stranger.get("/admin/"),
        stranger.get("/admin/usage/"),
        stranger.log_in(PASSWORD, next="/admin/usage/"),
        operator.get("/admin/"),
        found,
        operator.submit(f"{found.location}unlock/"),
        operator.submit(f"{found.location}void/"),
        operator.submit("/admin/logout/"),
    ]
    assert [reply.status_code for reply in replies] == [302] * len(replies)
    for reply in replies:
        assert_stays(reply.headers["Location"], "/admin/")


def test_no_route_names_its_own_host_or_scheme() -> None:
    app: Flask = make_panel().app
    client = app.test_client()
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    for rule in rules:
        path = re.sub("<[^>]+>", "x", rule.rule)
        reply = client.get(path, headers={"Host": "evil.example"}, base_url="http://evil.example")
        assert "evil.example" not in str(reply.headers), path
        assert b"evil.example" not in reply.data, path


def test_each_reply_behind_a_proxy_asks_for_https_and_only_once(panel: Gateway) -> None:
    for method, path in (
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
        ("GET", "/"),
        ("GET", "/admin"),
        ("GET", "/admin/"),
        ("GET", "/admin/login/"),
        ("GET", "/admin/static/admin.css"),
        ("GET", "/none"),
        ("PUT", "/healthz"),
        ("POST", "/api/v1/usr/otp"),
        ("OPTIONS", "/api/v1/usr/otp"),
        ("GET", "/metrics"),
        ("GET", "/x x"),
    ):
        connection = HTTPConnection("127.0.0.1", panel.port, timeout=10)
        connection.putrequest(method, "/x", skip_accept_encoding=True)
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]  # "/x x" too
        connection.endheaders()
        reply = connection.getresponse()
        assert reply.headers.get_all("Strict-Transport-Security") == [HSTS], (method, path)
        connection.close()


def test_without_a_proxy_no_reply_asks_for_https() -> None:
    client = make_panel().app.test_client()
    for path in ("/healthz", "/", "/none", "/admin", "/admin/"):
        assert "Strict-Transport-Security" not in client.get(path).headers
