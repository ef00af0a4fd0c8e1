"""The site file of deploy/ in Debian's nginx, in front of two gateways that deploy/'s units run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.conftest import Host, RunHost
from tests.deploy.load import ME, OTP, VERIFY
from tests.support.redis_server import wait_until

PHONE = "+989123456789"
ESTABLISHED = "01"
FORGERIES = [
    "X-Forwarded-For: 198.51.100.1",
    "X-Forwarded-For: 198.51.100.2, 203.0.113.7, 192.0.2.9",
    "X-Forwarded-For: 198.51.100.3\nX-Forwarded-For: 203.0.113.8",
    "X_Forwarded_For: 198.51.100.4",
    "Forwarded: for=198.51.100.5\nX-Real-IP: 198.51.100.5",
    "X-Forwarded-For:",
]


@pytest.fixture(scope="module")
def running(run_host: RunHost) -> Iterator[Host]:
    with run_host() as host:
        yield host


@pytest.fixture
def host(running: Host) -> Host:
    """With the default limits. A test that stops a gateway starts it again."""
    running.clear()
    return running


def post(path: str, body: str, *headers: str) -> str:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\n".join(lines) + "\n\n" + body


def connections_to(ports: list[int]) -> int:
    """Established connections to these ports of this machine."""
    found = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        found += state == ESTABLISHED and int(local.partition(":")[2], 16) in ports
    return found


def test_an_address_gets_five_requests_a_minute_from_both_gateways_together(host: Host) -> None:
    with host.nginx.session() as client:
        replies = [client.post(host.nginx.origin + VERIFY, json={}) for _ in range(6)]

    assert [reply.status_code for reply in replies] == [400] * 5 + [429]
    assert replies[-1].json()["code"] == "rate_limited"
    assert host.served(VERIFY) == [3, 3]


def test_each_address_behind_the_proxy_has_a_limit_of_its_own(host: Host) -> None:
    for source in ("127.0.0.2", "127.0.0.3"):
        with host.nginx.session(source) as client:
            statuses = [client.post(host.nginx.origin + VERIFY, json={}).status_code for _ in range(6)]
        assert statuses == [400] * 5 + [429]


def test_a_phone_gets_three_sends_in_two_minutes_from_both_gateways_together(host: Host) -> None:
    with host.nginx.session() as client:
        replies = [client.post(host.nginx.origin + OTP, json={"phone_number": PHONE}) for _ in range(4)]

    assert [reply.status_code for reply in replies] == [200] * 3 + [429]
    assert replies[-1].json()["code"] == "too_many_otp_requests"
    assert len(host.emulator.messages_to(PHONE)) == 3
    assert host.served(OTP) == [2, 2]


def test_what_a_client_claims_of_its_address_changes_nothing(host: Host) -> None:

    statuses = [host.nginx.raw(post(VERIFY, "{}", forgery))[0] for forgery in FORGERIES]

    assert statuses == [400] * 5 + [429]


def test_http_leads_to_https_and_answers_for_the_certificate(host: Host) -> None:
    nginx = host.nginx
    insecure = f"http://127.0.0.1:{nginx.http_port}"
    with nginx.session() as client:
        for method in ("GET", "POST"):
            reply = client.request(
                method, f"{insecure}/a?b=%2F", headers={"Host": "evil.example"}, allow_redirects=False
            )
            assert (reply.status_code, reply.headers["Location"]) == (308, "https://localhost/a?b=%2F")
        challenge = nginx.directory / ".well-known" / "acme-challenge" / "token"
        challenge.parent.mkdir(parents=True)
        challenge.write_text("answer", encoding="ascii")
        assert client.get(f"{insecure}/.well-known/acme-challenge/token").text == "answer"


@pytest.mark.parametrize(
    "path", ["/metrics", "//metrics", "/%6detrics", "/./metrics", "/healthz/../metrics", "/metrics?name[]=x"]
)
def test_the_metrics_are_not_for_the_world(host: Host, path: str) -> None:

    status, reply = host.nginx.raw(f"GET {path} HTTP/1.1\nHost: localhost\nConnection: close\n\n")

    assert status == 404
    assert b"problem+json" not in reply
    assert [gateway.log().count('"event": "request"') for gateway in host.gateways] == [0, 0]


def test_every_reply_asks_for_https_and_keeps_the_version_to_itself(host: Host) -> None:
    nginx = host.nginx
    with nginx.session() as client:
        replies = [
            client.get(nginx.origin + path) for path in ("/healthz", "/readyz", "/", "/none", "/metrics")
        ]

    assert [reply.status_code for reply in replies] == [200, 200, 200, 404, 404]
    assert {reply.headers["Strict-Transport-Security"] for reply in replies} == {"max-age=63072000"}
    assert {reply.headers["Server"] for reply in replies} == {"nginx"}


def test_a_login_with_cookies_passes_the_proxy_and_another_origin_does_not(run_host: RunHost) -> None:
    with run_host(AUTH_COOKIES="true") as host, host.nginx.session() as client:
        # Not localhost, where the gateway accepts http like https: there the scheme would not matter.
        name = f"login.example.test:{host.nginx.https_port}"
        client.headers["Host"] = name
        client.post(host.nginx.origin + OTP, json={"phone_number": PHONE})
        body = {"phone_number": PHONE, "code": host.emulator.code_for(PHONE)}
        refused = [
            client.post(host.nginx.origin + VERIFY, json=body, headers={"Origin": origin})
            for origin in ("https://login.example.test", f"http://{name}", "https://evil.example")
        ]
        reply = client.post(host.nginx.origin + VERIFY, json=body, headers={"Origin": f"https://{name}"})
        cookies = reply.raw.headers.getlist("Set-Cookie")
        jar = "; ".join(cookie.partition(";")[0] for cookie in cookies)
        client.cookies.clear()
        me = client.get(host.nginx.origin + ME, headers={"Origin": f"https://{name}", "Cookie": jar})

    assert [r.json()["code"] for r in refused] == ["cross_origin"] * 3
    assert reply.status_code == 200, reply.text
    assert len(cookies) == 3
    assert all({"Secure", "HttpOnly"} <= set(cookie.split("; ")) for cookie in cookies)
    assert me.json()["phone_number"] == PHONE


def test_a_body_too_large_is_refused_by_the_gateway_and_a_huge_one_by_nginx(host: Host) -> None:
    nginx = host.nginx
    with nginx.session() as client:
        large, huge = (
            client.post(nginx.origin + VERIFY, json={"code": "1" * size}) for size in (12_000, 40_000)
        )

    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    assert (huge.status_code, huge.headers["Content-Type"]) == (413, "text/html")


def test_a_client_that_dawdles_over_its_body_holds_no_thread_of_a_gateway(host: Host) -> None:
    ports = [gateway.port for gateway in host.gateways]
    head, _, body = post(OTP, '{"phone_number": "+989123456789"}').replace("\n", "\r\n").partition("{")
    with host.nginx.connect() as line:
        line.sendall((head + "{").encode())
        with host.nginx.session() as client:
            # nginx works through its connections in turn, so by then it has read that head.
            for _ in range(3):
                assert client.get(host.nginx.origin + "/healthz").status_code == 200
        assert connections_to(ports) == 0
        line.sendall(body.encode())
        assert line.recv(65536).startswith(b"HTTP/1.1 200")


def test_an_address_has_64_requests_under_way_at_most_and_the_others_are_served(host: Host) -> None:
    head, _, _ = post(OTP, '{"phone_number": "+989123456789"}').replace("\n", "\r\n").partition("{")
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(host.nginx.connect()).sendall((head + "{").encode())
        with host.nginx.session() as client, host.nginx.session("127.0.0.2") as other:
            wait_until(lambda: client.get(host.nginx.origin + "/healthz").status_code == 429, "a refusal")
            assert other.get(host.nginx.origin + "/healthz").status_code == 200
    with host.nginx.session() as client:
        wait_until(lambda: client.get(host.nginx.origin + "/healthz").status_code == 200, "room again")
    assert "limiting" not in host.nginx.error_log()


def test_nginx_keeps_no_log_of_who_asked_for_what(host: Host) -> None:
    nginx = host.nginx
    with nginx.session() as client:
        client.get(f"{nginx.origin}/?phone={PHONE}")
        client.get(f"http://127.0.0.1:{nginx.http_port}/?phone={PHONE}", allow_redirects=False)

    access_log = nginx.directory / "access.log"
    assert not access_log.exists() or access_log.read_text(encoding="utf-8") == ""
    assert PHONE not in nginx.error_log()


def test_a_request_goes_to_the_other_gateway_when_one_is_gone_with_its_socket(host: Host) -> None:
    away = host.gateways[0]
    away.stop()
    away.release()
    try:
        with host.nginx.session() as client:
            statuses = [client.post(host.nginx.origin + VERIFY, json={}).status_code for _ in range(5)]
    finally:
        away.start()

    assert statuses == [400] * 5
    assert host.served(VERIFY) == [0, 5]


def test_a_short_fault_of_both_gateways_blocks_no_client(host: Host) -> None:
    for gateway in host.gateways:
        gateway.stop()
        gateway.release()
    with host.nginx.session() as client:
        try:
            refused = [client.post(host.nginx.origin + VERIFY, json={}).status_code for _ in range(2)]
        finally:
            for gateway in host.gateways:
                gateway.start()
        served = [client.post(host.nginx.origin + VERIFY, json={}).status_code for _ in range(4)]

    assert refused == [502, 502]
    assert served == [400] * 4
