"""Tests that need bytes on a socket: framing, lengths, and headers as gunicorn forwards them."""

from __future__ import annotations

import json
import re
from itertools import count

import pytest

from tests.api.support import SEND, VERIFY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.wire import Answer, answers, ask, exchange

PHONE = "+989127654321"
NATIONAL = "9127654321"
BODY = json.dumps({"phone_number": PHONE}).encode()
SMUGGLED = (
    b'POST /api/v1/usr/otp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n{"phone_number":"'
)
hosts = count(1)


@pytest.fixture
def hop() -> str:
    """An address that no other test of this module uses, as the two proxies report it."""
    return f"198.18.{next(hosts)}.1"


def head(path: str, hop: str, *fields: str, method: str = "POST", last: bool = True) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: gateway.example",
        f"X-Forwarded-For: {hop}, 10.0.0.1",
        *fields,
        *(["Connection: close"] if last else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"


def chunked(body: bytes, size: int = 1000) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def padded(size: int) -> bytes:
    return BODY + b" " * (size - len(BODY))


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert json.loads(answer.body)["code"] == code


# --- bodies


@pytest.mark.parametrize("size", [len(BODY), 8191, 8192])
@pytest.mark.parametrize("piece", [1, 1000, 8192])
def test_a_chunked_body_is_read(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, size: int, piece: int
) -> None:
    answer = ask(wire, head(SEND, hop, JSON, CHUNKED) + chunked(padded(size), piece))
    assert answer.status == 200
    assert len(emulator.messages_to(PHONE)) == 1


@pytest.mark.parametrize("size", [8193, 8194, 20_000, 200_000])
def test_a_chunked_body_of_more_than_8192_bytes_is_too_large(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, size: int
) -> None:
    answer = ask(wire, head(SEND, hop, JSON, CHUNKED) + chunked(padded(size)))
    assert_problem(answer, 413, "payload_too_large")
    assert emulator.messages == []


def test_a_large_chunked_body_is_too_large_and_not_taken_for_broken_json(wire: Gateway, hop: str) -> None:
    answer = ask(wire, head(SEND, hop, JSON, CHUNKED) + chunked(b'{"x":"' + b"x" * 9000 + b'"}'))
    assert_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize(("size", "status"), [(8192, 200), (8193, 413), (100_000, 413)])
def test_a_body_of_declared_length_is_read_up_to_8192_bytes(
    wire: Gateway, hop: str, size: int, status: int
) -> None:
    answer = ask(wire, head(SEND, hop, JSON, f"Content-Length: {size}") + padded(size))
    assert answer.status == status


def test_a_length_beyond_all_measure_is_refused_before_the_body_comes(wire: Gateway, hop: str) -> None:
    answer = ask(wire, head(SEND, hop, JSON, f"Content-Length: {10**15}"))
    assert_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize("path", [SEND, VERIFY])
def test_a_request_without_length_has_no_body(wire: Gateway, hop: str, path: str) -> None:
    assert_problem(ask(wire, head(path, hop, JSON)), 400, "invalid_request")
    assert_problem(ask(wire, head(path, hop)), 415, "unsupported_media_type")


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(wire: Gateway, hop: str) -> None:
    data = head(SEND, hop, JSON, "Expect: 100-continue", f"Content-Length: {len(BODY)}") + BODY
    assert [answer.status for answer in answers(exchange(wire, data))] == [100, 200]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((CHUNKED, chunked(padded(100))[:-5]), id="no last chunk"),
        pytest.param((CHUNKED, b"64\r\n" + BODY), id="half a chunk"),
        pytest.param(("Content-Length: 100", BODY[:-1]), id="less than declared"),
    ],
)
def test_a_request_that_breaks_off_is_not_acted_upon(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, body: tuple[str, bytes]
) -> None:
    framing, data = body
    for answer in answers(exchange(wire, head(SEND, hop, JSON, framing) + data, close=True)):
        assert answer.status == 400
    assert emulator.messages == []


@pytest.mark.parametrize(
    "data",
    [b"zz" + NATIONAL.encode() + b"\r\n{}", b"-1\r\n{}", b"2\r\n{}" + NATIONAL.encode(), b"\r\n", b"1;\n{"],
)
def test_broken_chunks_are_the_clients_fault_and_leave_nothing_in_the_log(
    wire: Gateway, hop: str, data: bytes
) -> None:
    before = len(wire.log())
    received = exchange(wire, head(SEND, hop, JSON, CHUNKED) + data, close=True)
    assert NATIONAL not in wire.log()[before:]
    assert [answer.status for answer in answers(received)] in ([], [400])


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 2", CHUNKED),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: -1",),
        ("Content-Length: 2x",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: cow",),
    ],
)
def test_ambiguous_framing_is_refused(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, fields: tuple[str, ...]
) -> None:
    data = head(SEND, hop, JSON, *fields) + b"{}" + SMUGGLED + NATIONAL.encode() + b'"}'
    replies = list(answers(exchange(wire, data, close=True)))
    assert [400 <= answer.status < 502 and answer.status != 500 for answer in replies] == [True]
    assert emulator.messages == []


@pytest.mark.parametrize("content_type", [JSON, "Content-Type: text/plain"])
def test_an_unread_body_is_never_taken_for_the_next_request(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, content_type: str
) -> None:
    body = SMUGGLED + NATIONAL.encode() + b'"}' + b" " * 9000
    first = head(SEND, hop, content_type, f"Content-Length: {len(body)}", last=False) + body
    replies = list(answers(exchange(wire, first + head("/healthz", hop, method="GET"), close=True)))
    assert replies[0].status in (413, 415)
    assert [answer.status for answer in replies[1:]] in ([], [200])
    assert emulator.messages == []


# --- numbers and codes as people paste them

PASTED = "\t\u200f+98\u2013(0)912\u00a0765\u2011\ufe0f4321\u202c\r\n"


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escapes", "UTF-8"])
def test_a_pasted_number_and_a_pasted_code_log_in(
    wire: Gateway, emulator: KavenegarEmulator, hop: str, ascii_only: bool
) -> None:
    def post(path: str, **fields: str) -> Answer:
        body = json.dumps(fields, ensure_ascii=ascii_only).encode()
        return ask(wire, head(path, hop, JSON, f"Content-Length: {len(body)}") + body)

    sent = post(SEND, phone_number=PASTED)
    assert (sent.status, json.loads(sent.body)["phone_number"]) == (200, PHONE)
    code = emulator.code_for(PHONE)
    login = post(VERIFY, phone_number=PASTED, code=f"\u200f{code[:3]}\u2013{code[3:]}\ufe0f\n")
    assert (login.status, json.loads(login.body)["user"]["phone_number"]) == (200, PHONE)


@pytest.mark.parametrize("mark", ["\u0f73", "\u0301", "\ufdfa", "\u200f", "\ufe0f", " "], ids=ascii)
def test_a_body_full_of_one_mark_is_an_invalid_number_and_an_invalid_code(
    wire: Gateway, hop: str, mark: str
) -> None:
    text = mark * (8000 // len(mark.encode()))
    body = json.dumps({"phone_number": text}, ensure_ascii=False).encode()
    length = f"Content-Length: {len(body)}"
    assert_problem(ask(wire, head(SEND, hop, JSON, length) + body), 400, "invalid_phone_number")
    body = json.dumps({"phone_number": PHONE, "code": text}, ensure_ascii=False).encode()
    length = f"Content-Length: {len(body)}"
    assert_problem(ask(wire, head(VERIFY, hop, JSON, length) + body), 400, "invalid_request")


# --- methods


@pytest.mark.parametrize("path", [SEND, VERIFY])
def test_head_is_not_allowed_and_has_no_body(wire: Gateway, hop: str, path: str) -> None:
    answer = ask(wire, head(path, hop, method="HEAD"), bodiless=True)
    assert answer.status == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("path", [SEND, VERIFY])
def test_options_names_the_methods_and_nothing_for_other_origins(wire: Gateway, hop: str, path: str) -> None:
    fields = ("Origin: https://evil.example", "Access-Control-Request-Method: POST")
    answer = ask(wire, head(path, hop, *fields, method="OPTIONS"))
    assert (answer.status, answer.body) == (200, b"")
    assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_head_of_a_probe_has_headers_alone(wire: Gateway, hop: str) -> None:
    answer = ask(wire, head("/healthz", hop, method="HEAD"), bodiless=True)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


# --- forwarding headers


def rest(answer: Answer) -> int:
    match = re.fullmatch(r'"ip";r=(\d+);t=\d+', answer.headers["ratelimit"])
    assert match
    return int(match[1])


def forwarded(gateway: Gateway, *fields: str, body: bytes = b"") -> int:
    """The requests that the client has left after a request with only these fields."""
    lines = [f"POST {SEND} HTTP/1.1", "Host: x", *fields, "Connection: close", "", ""]
    return rest(ask(gateway, "\r\n".join(lines).encode() + body))


def test_duplicate_forwarding_headers_are_one_list_in_their_order(wire: Gateway, hop: str) -> None:
    near = "X-Forwarded-For: 10.0.0.1"
    first = forwarded(wire, f"X-Forwarded-For: {hop}, 10.0.0.1")
    assert first == 999
    assert forwarded(wire, f"X-Forwarded-For: {hop}", near) == 998
    assert forwarded(wire, "X-Forwarded-For: 198.51.100.77", f"X-Forwarded-For: {hop}", near) == 997
    assert forwarded(wire, f"x-forwarded-for: 198.51.100.77, {hop}", "X-FORWARDED-FOR: 10.0.0.9") == 996
    assert forwarded(wire, near, f"X-Forwarded-For: {hop}") != 995


def test_a_header_with_underscores_is_not_the_forwarding_header(wire: Gateway, hop: str) -> None:
    known = f"X-Forwarded-For: {hop}, 10.0.0.1"
    assert forwarded(wire, known) == 999
    assert forwarded(wire, known, "X_Forwarded_For: 198.51.100.78, 10.0.0.1") == 998
    assert forwarded(wire, "X_Forwarded_For: 198.51.100.79, 10.0.0.1", known) == 997


def test_a_trailer_is_not_the_forwarding_header(wire: Gateway, hop: str) -> None:
    known = f"X-Forwarded-For: {hop}, 10.0.0.1"
    trailer = b"0\r\nX-Forwarded-For: 198.51.100.80, 10.0.0.1\r\n\r\n"
    assert forwarded(wire, known, CHUNKED, JSON, body=trailer) == 999
    assert forwarded(wire, known) == 998


# --- bytes that are not HTTP


@pytest.mark.parametrize(
    "data",
    [
        f"GET /otp?phone={NATIONAL} &code=123456 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{NATIONAL}; / HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /{NATIONAL} HTTP/{NATIONAL}\r\nHost: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\n0 {NATIONAL}: x\r\n\r\n",
        f"GET /\u00ff{NATIONAL} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{NATIONAL}\r\n\r\n",
    ],
    ids=["blank in the query", "method", "version", "header", "path", "line"],
)
def test_what_is_no_http_is_refused_and_not_logged(wire: Gateway, data: str) -> None:
    before = len(wire.log())
    for answer in answers(exchange(wire, data.encode("latin-1"), close=True)):
        assert answer.status == 400
    assert NATIONAL not in wire.log()[before:]


def test_query_strings_and_unknown_paths_are_not_in_gunicorns_log_either(wire: Gateway, hop: str) -> None:
    before = len(wire.log())
    for path in (f"{SEND}?phone=pachyderm", "/pachyderm", "/healthz?pachyderm", "http://pachyderm/x"):
        for method in ("GET", "POST", "OPTIONS", "TRACE"):
            ask(wire, head(path, hop, "Referer: pachyderm", "User-Agent: pachyderm", method=method))
    log = wire.log()[before:]
    assert log.count('"event": "request"') == 16
    assert "pachyderm" not in log
