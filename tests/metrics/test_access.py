"""Which clients may read the metrics."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from tests.api.support import AWAY, HOME, PHONE, Api, Recorder, assert_problem, make_api
from tests.metrics.support import SCRAPER

TOKEN = "scraper-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def open_api() -> Api:
    """Without a token."""
    return make_api()


@pytest.fixture(scope="module")
def guarded_api() -> Api:
    """With one."""
    return make_api(METRICS_TOKEN=TOKEN)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_a_scraper_on_the_same_machine_may_read(open_api: Api, ip: str) -> None:
    reply = open_api.get("/metrics", ip=ip)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert reply.headers["Cache-Control"] == "no-store"
    assert "otp_gateway_build_info" in reply.text


@pytest.mark.parametrize(
    "ip",
    [
        HOME,
        AWAY,
        "10.0.0.1",
        "128.0.0.1",
        "126.255.255.255",
        "0.0.0.0",  # noqa: S104  # the address of a peer; no socket binds it
        "::",
        "::2",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "",
        "localhost",
        "127.0.0.1:80",
        "unix:",
    ],
)
def test_without_a_token_no_other_client_may(open_api: Api, ip: str) -> None:
    reply = open_api.get("/metrics", ip=ip)
    assert_problem(reply, 403, "forbidden")
    assert "otp_gateway_" not in reply.text


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Anything",
        "X-Forwarded",
        "x-forwarded-for",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-Forwarded-For",
        "Via",
        "True-Client-IP",
        "CF-Connecting-IP",
        "CDN-Loop",
    ],
)
@pytest.mark.parametrize("value", ["203.0.113.7", "127.0.0.1", ""])
def test_a_local_peer_with_a_forwarding_header_may_not(open_api: Api, name: str, value: str) -> None:
    assert_problem(open_api.get("/metrics", ip=SCRAPER, headers={name: value}), 403, "forbidden")


def test_trusted_proxies_make_no_client_local() -> None:
    api = make_api(TRUSTED_PROXIES=1)
    headers = {"X-Forwarded-For": "127.0.0.1"}
    for ip in (SCRAPER, HOME):
        assert_problem(api.get("/metrics", ip=ip, headers=headers), 403, "forbidden")


@pytest.mark.parametrize("ip", [SCRAPER, HOME])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_with_a_token_its_bearer_may_read_from_anywhere(guarded_api: Api, ip: str, scheme: str) -> None:
    headers = {"Authorization": f"{scheme}{TOKEN}", "X-Forwarded-For": "203.0.113.7"}
    assert guarded_api.get("/metrics", ip=ip, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given_header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Token {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Bearer\t{TOKEN}",
        "Bearer wrong",
        "Bearer \xff\xfe",
        f"Bearer {TOKEN}\xe4",
        "Bearer ١٢٣".encode().decode("latin-1"),
        "Bearer " + "x" * 8000,
    ],
)
def test_with_a_token_every_other_claim_is_refused_from_this_machine_too(
    guarded_api: Api, given_header: str | None
) -> None:
    headers = {} if given_header is None else {"Authorization": given_header}
    reply = guarded_api.get("/metrics", ip=SCRAPER, headers=headers)
    assert_problem(reply, 401, "invalid_token")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "otp_gateway_" not in reply.text
    assert TOKEN not in reply.text


def test_the_token_in_the_query_opens_nothing(guarded_api: Api) -> None:
    for query in (f"token={TOKEN}", f"access_token={TOKEN}"):
        assert guarded_api.get(f"/metrics?{query}", ip=SCRAPER).status_code == 401


def test_an_access_token_of_a_user_opens_nothing(guarded_api: Api) -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    api.send()
    login = api.verify(PHONE, sender.code_for(PHONE)).get_json()
    for token in (login["access_token"], login["refresh_token"]):
        headers = {"Authorization": f"Bearer {token}"}
        assert_problem(guarded_api.get("/metrics", headers=headers), 401, "invalid_token")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_the_metrics_are_only_read(open_api: Api, method: str) -> None:
    assert open_api.request(method, "/metrics", ip=SCRAPER).status_code == 405


def test_head_answers_as_get_without_a_body(open_api: Api, guarded_api: Api) -> None:
    reply = open_api.request("HEAD", "/metrics", ip=SCRAPER)
    assert (reply.status_code, reply.data) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 0
    assert open_api.request("HEAD", "/metrics", ip=HOME).status_code == 403
    assert guarded_api.request("HEAD", "/metrics", ip=SCRAPER).status_code == 401


def test_scrapes_are_counted_by_no_limit_of_addresses() -> None:
    api = make_api(OTP_IP_LIMITS="2/minute", TOKEN_IP_LIMITS="2/minute")
    replies = [api.get("/metrics", ip=SCRAPER) for _ in range(10)]
    assert {reply.status_code for reply in replies} == {200}
    assert not any("RateLimit" in reply.headers for reply in replies)
    assert api.send(ip=SCRAPER).headers["RateLimit"].startswith('"ip";r=1;')


# --- formats


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0",
        # The header that Prometheus sends.
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
    ],
)
def test_who_asks_for_openmetrics_gets_openmetrics(open_api: Api, accept: str) -> None:
    open_api.send("x")
    reply = open_api.get("/metrics", ip=SCRAPER, headers={"Accept": accept})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")
    families = read_openmetrics(reply.text)  # type: ignore[no-untyped-call]  # as shipped
    names = {family.name for family in families}
    assert {"otp_gateway_http_requests", "otp_gateway_sends", "otp_gateway_redis_up"} <= names


@given(
    accept=st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
        st.builds(
            "{}{}version={}{}escaping={}".format,
            st.sampled_from(["application/openmetrics-text", "text/plain", "*/*", ""]),
            st.sampled_from([";", "; ", ",", ""]),
            st.text('0123456789.abc-é" ', max_size=12),
            st.sampled_from([";", "; ", ","]),
            st.sampled_from(["allow-utf-8", "underscores", "dots", "values", "", "\xff"]),
        ),
    )
)
def test_whatever_format_is_asked_for_one_is_served(open_api: Api, accept: str) -> None:
    reply = open_api.get("/metrics", ip=SCRAPER, headers={"Accept": accept})
    assert reply.status_code == 200
    # Prometheus itself may ask for names in another format.
    assert re.search(r"^[^#]*redis_+up\S* 1\.0$", reply.text, re.MULTILINE)
