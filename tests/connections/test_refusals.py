"""If gunicorn refuses a request before Flask sees it, the reply is a problem document with an id, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.http import errors

from otp_gateway.gunicorn_worker.refusals import DETAILS, Refusal
from tests.connections.conftest import environment
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer
from tests.support.wire import Answer, answers, ask, exchange

NATIONAL = "9127654321"
HOST = "Host: x\r\n"
POST = f"POST /{NATIONAL} HTTP/1.1\r\n{HOST}"
EMPTY = "\r\n"
TOO_LARGE = "request_header_fields_too_large"
LONG_FIELD = f"X-Long: {'9' * 9000}\r\n"
LETTERS = "a" * 1000
TOKEN = f"Authorization: Bearer {'a' * 8192}\r\n"

REFUSED = [
    pytest.param(f"GET /{NATIONAL} x HTTP/1.1\r\n{HOST}\r\n", 400, "invalid_request", id="blank in the path"),
    pytest.param(f"{NATIONAL}; / HTTP/1.1\r\n{HOST}\r\n", 400, "invalid_request", id="method"),
    pytest.param(f"get / HTTP/1.1\r\n{HOST}\r\n", 400, "invalid_request", id="small letters"),
    pytest.param(f"GET / HTTP/{NATIONAL}\r\n{HOST}\r\n", 400, "invalid_request", id="no version"),
    pytest.param(f"GET / HTTP/2.0\r\n{HOST}\r\n", 505, "http_version_not_supported", id="version 2"),
    pytest.param(f"{NATIONAL}\r\n\r\n", 400, "invalid_request", id="no request line"),
    pytest.param(f"GET / HTTP/1.1\n{HOST}\r\n", 400, "invalid_request", id="bare line feed"),
    pytest.param(f"GET /?{NATIONAL * 450} HTTP/1.1\r\n{HOST}\r\n", 414, "uri_too_long", id="long path"),
    pytest.param(f"GET /?{NATIONAL * 9000}", 414, "uri_too_long", id="endless path"),
    pytest.param(f"{POST}{NATIONAL} : x\r\n\r\n", 400, "invalid_request", id="header name"),
    pytest.param(f"{POST}X: {NATIONAL}\x01\r\n\r\n", 400, "invalid_request", id="control character"),
    pytest.param(f"{POST}X: a\r\n {NATIONAL}\r\n\r\n", 400, "invalid_request", id="folded"),
    pytest.param(f"{POST}{HOST}\r\n", 400, "invalid_request", id="two hosts"),
    pytest.param(f"{POST}Content-Length: {NATIONAL}x\r\n\r\n", 400, "invalid_request", id="length"),
    pytest.param(
        f"{POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "invalid_request",
        id="two lengths",
    ),
    pytest.param(f"{POST}Transfer-Encoding: x{NATIONAL}\r\n\r\n", 501, "not_implemented", id="coding"),
    pytest.param(f"{POST}Expect: {NATIONAL}\r\n\r\n", 417, "expectation_failed", id="expectation"),
    pytest.param(f"{POST}{LONG_FIELD}\r\n", 431, TOO_LARGE, id="long field"),
    pytest.param(
        f"{POST}{''.join(f'X-{n}: {NATIONAL}' + EMPTY for n in range(70))}\r\n",
        431,
        TOO_LARGE,
        id="many fields",
    ),
    pytest.param(
        f"{POST}{f'X: {NATIONAL * 400}{EMPTY}' * 60}\r\n",
        431,
        TOO_LARGE,
        id="large head",
    ),
    pytest.param(
        f"{POST}{f'X: {NATIONAL * 400}{EMPTY}' * 10}",
        431,
        TOO_LARGE,
        id="endless head",
    ),
]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(environment(redis_server, TRUSTED_PROXIES="1"), workers=1) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def bare(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(environment(redis_server), workers=1) as gateway:
        yield gateway


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert re.fullmatch("[a-z]{24}", answer.headers["x-request-id"])
    document = json.loads(answer.body)
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"urn:otp-gateway:problem:{code}"
    assert {"title", "detail"} < document.keys()
    assert NATIONAL not in answer.body.decode()


@pytest.mark.parametrize(("data", "status", "code"), REFUSED)
def test_a_refusal_is_a_problem_document_with_an_id_and_without_the_clients_words(
    gateway: Gateway, data: str, status: int, code: str
) -> None:
    before = len(gateway.log())

    answer = ask(gateway, data.encode("latin-1"))

    assert_refused(answer, status, code)
    [line] = [json.loads(line) for line in gateway.log()[before:].splitlines()]
    assert (line["event"], line["status"], line["error"]) == ("request", status, code)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert NATIONAL not in str(line)


def test_a_refusal_has_the_clients_own_id_if_it_has_been_read() -> None:
    # gunicorn passes on the headers only for faults that it finds after it has read them.
    request = type("Request", (), {"headers": [("HOST", "x"), ("X-REQUEST-ID", "mine-1")]})

    assert Refusal.of(errors.InvalidHeader("X"), request()).request_id == "mine-1"
    assert Refusal.of(errors.InvalidHeader("X"), None).request_id != "mine-1"


def test_each_kind_of_fault_that_gunicorn_knows_has_a_reply() -> None:
    kinds: list[Any] = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 15
    for kind in kinds:
        error = kind.__new__(kind)
        error.version = ""
        refusal = Refusal.of(error, None)
        assert refusal.status in DETAILS
        assert re.fullmatch("[a-z_]+", refusal.code)
        assert answers(refusal.to_bytes({}))


def test_a_refusal_asks_for_https_behind_a_proxy_only(gateway: Gateway, bare: Gateway) -> None:
    data = f"GET / HTTP/9.9\r\n{HOST}\r\n".encode()
    assert ask(gateway, data).headers["strict-transport-security"] == "max-age=63072000"
    assert "strict-transport-security" not in ask(bare, data).headers


def test_the_headers_of_our_clients_are_accepted(gateway: Gateway) -> None:
    cookies = f"Cookie: {'; '.join(f'c{n}={LETTERS}' for n in range(5))}\r\n"
    others = "".join(f"X-{n}: {'b' * 50}\r\n" for n in range(55))
    data = f"GET /healthz HTTP/1.1\r\n{HOST}{TOKEN}{cookies}{others}Connection: close\r\n\r\n"
    assert ask(gateway, data.encode()).status == 200


def test_headers_never_set_the_path_the_user_or_the_scheme(redis_server: RedisServer) -> None:
    fields = (
        "SCRIPT_NAME: /x",
        "SCRIPT_NAME: /healthz",
        "PATH_INFO: /none",
        "REMOTE_USER: admin",
        "X_REQUEST_ID: mine-2",
        "Remote_Addr: 198.51.100.1",
        "X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on",
    )
    # Platforms set this variable: gunicorn trusts each peer.
    with Gateway(environment(redis_server, FORWARDED_ALLOW_IPS="*"), workers=1) as gateway:
        for field in fields:
            data = f"GET /healthz HTTP/1.1\r\n{HOST}{field}\r\nConnection: close\r\n\r\n"
            answer = ask(gateway, data.encode())
            assert (answer.status, answer.body) == (200, b'{"status":"ok"}\n'), field
            assert answer.headers["x-request-id"] != "mine-2"
        routes = [json.loads(line).get("route") for line in gateway.log().splitlines()]
    assert set(routes) <= {None, "/healthz"}


def test_a_broken_body_after_the_reply_gets_no_second_reply(gateway: Gateway) -> None:
    data = f"POST /healthz HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz{NATIONAL}\r\n"
    [answer] = answers(exchange(gateway, data.encode(), close=True))
    assert answer.status == 405


def test_small_chunks_with_endless_extensions_are_refused(gateway: Gateway) -> None:
    chunk = f"1;{'x' * 900}\r\n \r\n"
    data = f"POST /healthz HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk * 100}"
    assert_refused(ask(gateway, data.encode()), 400, "invalid_request")
