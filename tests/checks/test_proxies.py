"""The path from outside: all kinds of proxies, TLS in every state, and other servers that may answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any

import pytest

from otp_gateway.checks import proxies, site
from otp_gateway.checks.site import Site
from tests.checks.support import Report, checked
from tests.conftest import SECRET_KEY
from tests.support.certificates import make_certificate, serving
from tests.support.gateway import Gateway
from tests.support.http_proxy import (
    Habit,
    HttpProxy,
    append,
    append_line,
    append_port,
    forwarded,
    overwrite,
    silent,
    strip,
)
from tests.support.redis_server import RedisServer
from tests.support.servers import LoopbackServer, free_port

PUBLIC = "login.example.com"
HSTS = "max-age=31536000"
OUTER = "127.0.0.2"


@pytest.fixture(scope="module")
def gateways(redis_server: RedisServer) -> Iterator[Callable[..., Gateway]]:
    """A running gateway with so many trusted proxies, started at its first use."""
    running: dict[int, Gateway] = {}
    with ExitStack() as stack:

        def gateway(trusted: int = 0) -> Gateway:
            if trusted not in running:
                env = {"SECRET_KEY": SECRET_KEY, "REDIS_URL": redis_server.url}
                one = Gateway({**env, "TRUSTED_PROXIES": str(trusted)}, workers=1)
                running[trusted] = stack.enter_context(one)
            return running[trusted]

        yield gateway


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that is not a loopback name, and resolves to this machine."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host == PUBLIC else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return PUBLIC


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for localhost that the check trusts."""
    file = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    return file


def through(gateway: Gateway, habits: Sequence[Habit], **variables: Any) -> Report:
    """The report of a URL behind these proxies, outermost first. Each calls from its own address."""
    with ExitStack() as stack:
        port = gateway.port
        for depth, habit in reversed(list(enumerate(habits))):
            proxy = HttpProxy(port, habit, source=f"127.0.0.{2 + depth}")
            port = stack.enter_context(proxy).port
        return checked(f"http://127.0.0.1:{port}", **variables)


@pytest.mark.parametrize(
    ("habits", "trusted"),
    [
        ([], 0),
        ([append], 1),
        ([append_line], 1),
        ([append_port], 1),
        ([overwrite], 1),
        ([append, append], 2),
        ([overwrite, append], 2),
        ([append, append_line], 2),
        ([append_port, append], 2),
    ],
)
def test_as_many_trusted_proxies_as_add_their_peer_are_right(
    gateways: Callable[..., Gateway], habits: list[Habit], trusted: int
) -> None:
    report = through(gateways(trusted), habits)
    status, message = report["proxies"]
    assert status == "ok", message
    assert message.startswith(f"TRUSTED_PROXIES={trusted}, ")
    assert message.endswith("counts as 127.0.0.1")


CHOOSE, SHARE = "clients can forge their address", "all clients count as a proxy of yours"
ADD = "let each proxy add to X-Forwarded-For"


@pytest.mark.parametrize(
    ("habits", "trusted", "words", "remedy"),
    [
        ([], 1, CHOOSE, "; set 0"),
        ([], 2, CHOOSE, "; set 0"),
        ([append], 0, SHARE, "; set 1"),
        ([append], 2, CHOOSE, "; set 1"),
        ([append_line], 2, CHOOSE, "; set 1"),
        ([append, append], 1, SHARE, "; set 2"),
        ([append, append], 0, SHARE, "; set 2"),
        # Its clients cannot add hops, so no client chooses its address. But a hop is missing.
        ([overwrite], 2, SHARE, "; set 1"),
        ([overwrite], 0, SHARE, "; set 1"),
        ([strip], 0, SHARE, ADD),
        ([strip], 1, SHARE, ADD),
        ([forwarded], 0, SHARE, ADD),
        ([forwarded], 1, CHOOSE, ADD),
    ],
)
def test_another_number_is_a_fault_that_says_what_it_does_and_what_to_set(
    gateways: Callable[..., Gateway], habits: list[Habit], trusted: int, words: str, remedy: str
) -> None:
    report = through(gateways(trusted), habits)
    status, message = report["proxies"]
    assert status == "fault", message
    assert message.startswith(f"TRUSTED_PROXIES={trusted}, ")
    assert words in message
    assert remedy in message
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("habits", "trusted", "counted"),
    [
        # An inner proxy that starts a new list puts the outer proxy's address in the client's place.
        ([append, overwrite], 1, "127.0.0.2"),
        ([append, append, overwrite], 1, "127.0.0.3"),
        ([silent], 0, "127.0.0.2"),
    ],
)
def test_an_address_that_may_be_a_proxys_is_a_warning_that_names_it(
    gateways: Callable[..., Gateway], habits: list[Habit], trusted: int, counted: str
) -> None:
    status, message = through(gateways(trusted), habits)["proxies"]
    assert status == "warning", message
    assert f"counts as {counted}:" in message
    assert ADD in message


@pytest.mark.parametrize(
    ("client", "status"),
    [
        ("unknown", "warning"),
        ("10.1.2.3", "warning"),
        ("100.64.0.1", "warning"),
        ("fd00:1:2:3::/64", "warning"),
        ("127.0.0.1", "ok"),
        ("8.8.8.8", "ok"),
        ("2a00:1450::/64", "ok"),
    ],
)
def test_an_address_of_the_internet_or_our_own_can_be_ours(client: str, status: str) -> None:
    echo = proxies._Echo(0, client, [proxies.MADE_UP], [], "x")
    assert proxies._proxies(Site("http://127.0.0.1:1"), echo).status == status


def test_a_look_from_outside_counts_for_no_limit(
    gateways: Callable[..., Gateway], redis_server: RedisServer
) -> None:
    gateway = gateways(1)
    redis_server.clear()
    with redis_server.client() as client:
        client.set("otp:{a}:failures", 1, ex=1000)
        for _ in range(8):
            assert through(gateway, [append]).of("proxies") == "ok"
        assert set(client.keys("*")) - set(client.keys("provider:*")) == {b"otp:{a}:failures"}


def test_the_environments_proxy_and_netrc_have_no_say(
    gateways: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login somebody password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    seen: list[str] = []

    def watch(headers: list[tuple[str, str]], peer: str) -> list[tuple[str, str]]:
        seen.extend(name.lower() for name, _ in headers)
        return append(headers, peer)

    assert through(gateways(1), [watch]).of("proxies") == "ok"
    assert "authorization" not in seen


def test_host_that_does_not_arrive_is_a_warning_and_with_cookies_a_fault(
    gateways: Callable[..., Gateway],
) -> None:
    with HttpProxy(gateways(1).port) as proxy:
        assert checked(f"http://127.0.0.1:{proxy.port}").of("host") == "ok"
        proxy.keep_host = False
        status, message = checked(f"http://127.0.0.1:{proxy.port}")["host"]
        assert status == "warning"
        assert "arrives as upstream:" in message
        report = checked(f"http://127.0.0.1:{proxy.port}", AUTH_COOKIES="true")
    assert report.of("host") == "fault"
    assert report.of("cookies") == "fault"


def test_metrics_that_strangers_can_read_are_a_fault(gateways: Callable[..., Gateway], public: str) -> None:
    with HttpProxy(gateways().port, silent) as proxy:
        report = checked(f"http://{public}:{proxy.port}")
        assert report.of("exposed") == "fault"
        assert "METRICS_TOKEN" in report["exposed"][1]
        # On the machine itself, the default allows the same.
        assert checked(f"http://127.0.0.1:{proxy.port}").of("exposed") == "ok"
        proxy.habit = append
        assert checked(f"http://{public}:{proxy.port}")["exposed"][0] == "ok"
        proxy.deaf = "/metrics"
        assert checked(f"http://{public}:{proxy.port}").of("exposed") == "warning"


def test_plain_http_is_a_fault_except_on_the_machine_itself(
    gateways: Callable[..., Gateway], public: str
) -> None:
    port = gateways().port
    assert checked(f"http://{public}:{port}").of("https") == "fault"
    for here in ("127.0.0.1", "localhost"):
        assert checked(f"http://{here}:{port}").of("https") == "warning"


@pytest.mark.parametrize(
    ("hsts", "status"),
    [
        (None, "ok"),
        (HSTS, "ok"),
        ("", "warning"),
        ("max-age=0; includeSubDomains", "warning"),
        # Two headers are joined, and browsers use the first.
        (f"{HSTS}, max-age=0", "ok"),
        (f"max-age=0, {HSTS}", "warning"),
    ],
)
def test_tls_is_fine_if_browsers_must_insist_on_it(
    gateways: Callable[..., Gateway], certificate: Path, hsts: str | None, status: str
) -> None:
    with HttpProxy(gateways(1).port, hsts=hsts, tls=serving(certificate)) as proxy:
        report = checked(f"https://localhost:{proxy.port}", AUTH_COOKIES="true")
    assert report.of("https") == status
    assert ("Strict-Transport-Security" in report["https"][1]) is True
    assert report.of("cookies") == "ok"
    assert report.of("host") == "ok"
    assert report.of("proxies") == "ok"


@pytest.mark.parametrize(
    ("given", "words"),
    [(("localhost", 1), "self-signed"), (("localhost", -1), "expired"), (("other.example", 1), "ismatch")],
)
def test_a_certificate_that_browsers_refuse_is_a_fault_with_the_reason(
    gateways: Callable[..., Gateway],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[str, int],
    words: str,
) -> None:
    name, days = given
    file = make_certificate(tmp_path, name, days=days)
    if words != "self-signed":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with HttpProxy(gateways(1).port, tls=serving(file)) as proxy:
        report = checked(f"https://localhost:{proxy.port}")
    status, message = report["https"]
    assert status == "fault"
    assert "browsers will refuse" in message
    assert words in message.replace("self signed", "self-signed")
    assert report["proxies"] == ("warning", "TRUSTED_PROXIES=0, not checked: see https")


def test_no_tls_where_tls_is_asked_for_is_a_fault(gateways: Callable[..., Gateway]) -> None:
    status, message = checked(f"https://127.0.0.1:{gateways().port}")["https"]
    assert status == "fault"
    assert "has no TLS" in message


def answer(status: int, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


@pytest.fixture
def answering() -> Iterator[Callable[..., int]]:
    """The port of a server that answers with these bytes: one more piece after each ``pause`` seconds."""
    with ExitStack() as stack:

        def serve(*pieces: bytes, pause: float = 0) -> int:
            def reply(connection: Any, _: Any) -> None:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                    server.closing.wait(pause)

            server = LoopbackServer(reply)
            server.start()
            stack.callback(server.stop)
            return server.port

        yield serve


@pytest.mark.parametrize(
    "plain",
    [
        (answer(301, "Location: https://localhost/healthz"), "ok"),
        (answer(308, "Location: HTTPS://localhost/"), "ok"),
        (answer(404), "ok"),
        (answer(403), "ok"),
        (b"nonsense\r\n\r\n", "ok"),
        (b"", "ok"),
        (answer(200, body='{"status":"ok"}'), "fault"),
        (answer(301, "Location: http://www.localhost/"), "fault"),
        (answer(302, "Location: /login"), "fault"),
        (answer(204), "fault"),
    ],
)
def test_plain_http_beside_tls_must_lead_there_or_nowhere(
    gateways: Callable[..., Gateway],
    certificate: Path,
    answering: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    plain: tuple[bytes, str],
) -> None:
    reply, status = plain
    with HttpProxy(gateways(1).port, hsts=HSTS, tls=serving(certificate)) as proxy:
        # A test cannot use the usual ports.
        ports = {"http": answering(reply), "https": proxy.port}
        monkeypatch.setattr(site, "DEFAULT_PORTS", ports)
        assert checked(f"https://localhost:{proxy.port}").of("https") == status


def test_an_unusual_port_says_nothing_of_the_usual_one(
    gateways: Callable[..., Gateway],
    certificate: Path,
    answering: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(site.DEFAULT_PORTS, "http", answering(answer(200)))
    with HttpProxy(gateways(1).port, hsts=HSTS, tls=serving(certificate)) as proxy:
        assert checked(f"https://localhost:{proxy.port}").of("https") == "ok"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(200, body="<h1>Welcome to nginx!</h1>"), "is no gateway with this SECRET_KEY"),
        (answer(200, body='{"status":"ok"}'), "is no gateway with this SECRET_KEY"),
        (answer(404, body="{}"), "answers 404, but"),
        (answer(502, body="Bad Gateway"), "answers 502: look whether the proxy reaches the gateway"),
        (answer(301, "Location: https://u:hunter2@www.example.com/x"), "redirects to www.example.com:"),
        (answer(302, "Location: /login"), "redirects to elsewhere:"),
        (answer(302, "Location: https://\x1b[2J\x1b]0;x/"), "redirects to"),
        (answer(200, body='{"arrival": null}'), "is no gateway"),
        (answer(200, body='{"arrival": "yes"}'), "is no gateway"),
        (answer(200, body='{"arrival": {"trusted_proxies": 1}}'), "is no gateway"),
        (answer(200, body="[" * 30_000), "is no gateway"),
        (answer(200, "Content-Encoding: gzip", body="no gzip"), ""),
    ],
)
def test_whatever_else_answers_is_distinguished_and_quoted_safely(
    answering: Callable[..., int], reply: bytes, words: str
) -> None:
    port = answering(reply)
    report = checked(f"http://127.0.0.1:{port}")
    assert report.exit_code == 1
    assert words in report["proxies"][1]
    assert "hunter2" not in report.output
    assert "u001b" not in report.output


@pytest.mark.parametrize("name", ["trusted_proxies", "client", "forwarded_for", "forwarding", "host"])
@pytest.mark.parametrize(
    "value", ["null", "7.5", "{}", "[[]]", '["\\ud800\\u001b[2J"]', '"\\ud800\\n\\u001b[2J"', "1e400"]
)
def test_an_arrival_of_the_wrong_shape_ends_no_check(
    answering: Callable[..., int], name: str, value: str
) -> None:
    members = {
        "trusted_proxies": "0",
        "client": '"127.0.0.1"',
        "forwarded_for": f'["{proxies.MADE_UP}"]',
        "forwarding": "[]",
        "host": '"x"',
    } | {name: value}
    body = '{"arrival": {' + ", ".join(f'"{n}": {v}' for n, v in members.items()) + "}}"
    report = checked(f"http://127.0.0.1:{answering(answer(200, body=body))}")
    assert report["proxies"][1]
    # The report has no character that a terminal obeys, or that has no encoding.
    report.output.encode("ascii")
    assert "u001b" not in report.output
    assert "ud800" not in report.output


def test_an_arrival_that_is_whole_is_taken(answering: Callable[..., int]) -> None:
    body = (
        '{"arrival": {"trusted_proxies": 0, "client": "127.0.0.1", "forwarding": [], "host": "x", '
        f'"forwarded_for": ["{proxies.MADE_UP}"]}}}}'
    )
    assert checked(f"http://127.0.0.1:{answering(answer(200, body=body))}").of("proxies") == "ok"


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        ((b"",), 60),
        ((b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 100), 1),
        ((b"HTTP/1.1 200 OK\r\n\r\n", *[b" "] * 100), 1),
        ((b"H", b"T", b"T", b"P", b"/", *[b"1"] * 100), 1),
        ((b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * 2**20] * 200), 0),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",), 60),
        ((b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", *[b" " * 2**20] * 200), 0),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), 0),
        ((b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",), 0),
    ],
    ids=[
        "silence",
        "headers drip",
        "body drips",
        "line drips",
        "huge",
        "never ends",
        "redirect",
        "ssh",
        "headers",
    ],
)
def test_an_answer_that_hangs_drips_or_swells_is_given_up(
    answering: Callable[..., int], monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...], pause: float
) -> None:
    monkeypatch.setattr("otp_gateway.checks.OUTSIDE_SECONDS", 1.5)
    monkeypatch.setattr(proxies, "REPLY_SECONDS", 1.0)
    began = time.monotonic()
    report = checked(f"http://127.0.0.1:{answering(*pieces, pause=pause)}")
    # Not a measurement: this server sends data slowly for more than a minute.
    assert time.monotonic() - began < 30
    assert report.exit_code == 1
    assert "fault" in [report.of(name) for name in ("https", "proxies") if name in report.names]


def test_a_gateway_under_another_secret_is_none_of_ours(gateways: Callable[..., Gateway]) -> None:
    report = checked(gateways().url, SECRET_KEY="another-secret-key-of-forty-characters--")
    status, message = report["proxies"]
    assert status == "fault"
    assert "no gateway with this SECRET_KEY" in message
    assert "host" not in report.names


def test_no_server_at_the_url_is_a_fault_without_user_and_password() -> None:
    report = checked(f"https://operator:hunter2@127.0.0.1:{free_port()}")
    assert report.of("https") == "fault"
    assert "look at DNS" in report["https"][1]
    assert "hunter2" not in report.output
    assert "operator" not in report.output


def test_user_and_password_of_the_address_are_sent(gateways: Callable[..., Gateway]) -> None:
    seen: list[str] = []

    def watch(headers: list[tuple[str, str]], peer: str) -> list[tuple[str, str]]:
        seen.extend(value for name, value in headers if name.lower() == "authorization")
        return append(headers, peer)

    with HttpProxy(gateways(1).port, watch) as proxy:
        report = checked(f"http://operator:p%40ss@127.0.0.1:{proxy.port}/")
    assert report.of("proxies") == "ok"
    assert report.of("host") == "ok"
    assert set(seen) == {"Basic b3BlcmF0b3I6cEBzcw=="}


class _Six(ThreadingMixIn, TCPServer):
    """A relay on ::1."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        class Relay(BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", upstream)) as there:
                    there.sendall(self.request.recv(65536))
                    there.shutdown(socket.SHUT_WR)
                    while data := there.recv(65536):
                        self.request.sendall(data)

        super().__init__(("::1", 0), Relay)


def test_an_ipv6_address_is_asked_like_any_other(gateways: Callable[..., Gateway]) -> None:
    try:
        server = _Six(gateways().port)
    except OSError:
        pytest.skip("this machine has no ::1")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        report = checked(f"http://[::1]:{server.server_address[1]}/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert report.of("https") == "warning"
    assert report.of("host") == "ok"
    # Behind this relay the peer is 127.0.0.1, but the test itself connects from ::1.
    assert "counts as 127.0.0.1:" in report["proxies"][1]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://Login.Example.com/", "https://login.example.com"),
        ("HTTPS://login.example.com:443", "https://login.example.com"),
        ("http://login.example.com:80/", "http://login.example.com"),
        ("https://login.example.com:8443/otp/", "https://login.example.com:8443/otp"),
        ("https://user:pass@login.example.com", "https://login.example.com"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://ورود.example", "https://xn--ugbd2eb.example"),
        (" https://login.example.com \n", "https://login.example.com"),
    ],
)
def test_an_address_is_understood_as_browsers_do(text: str, url: str) -> None:
    assert Site(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "login.example.com",
        "https://",
        "https:///x",
        "ftp://login.example.com",
        "https://login.example.com:99999",
        "https://login.example.com:x",
        "https://login.example.com?x=1",
        "https://login.example.com#x",
        "https://[::1",
        "https://*",
        f"https://{'a' * 64}.example",
        "https://a b.example",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Site(text)


def test_of_a_body_that_swells_little_is_read() -> None:
    sent = 0

    def swell(connection: Any, _: Any) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 2**30:
            sent += connection.send(b" " * 65536)

    server = LoopbackServer(swell)
    server.start()
    try:
        assert checked(f"http://127.0.0.1:{server.port}").of("proxies") == "fault"
    finally:
        server.stop()
    # The limit is what the sockets buffer, not what the seconds allow.
    assert sent < 2**24
