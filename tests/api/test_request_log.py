"""One id and one line in the log for every request. The line has no private data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Response
from werkzeug.test import TestResponse

from otp_gateway.errors import SmsFailed
from otp_gateway.store import connect
from tests.api.support import (
    AWAY,
    HOME,
    PHONE,
    SEND,
    VERIFY,
    Api,
    Recorder,
    make_api,
    wrong,
)
from tests.support.servers import free_port

MADE = re.compile(r"[a-z]{24}")
NATIONAL = PHONE.removeprefix("+98")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were logged since the last call, one object for each."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


# --- ids


@pytest.mark.parametrize(
    "given",
    [
        "a",
        "7b5c1fd2-1c1e-4a3c-9c2b-6a7d1f0e9b11",
        "req_01HZX3.a-b",
        "x" * 128,
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "12345678",
    ],
)
def test_a_sane_request_id_is_echoed(given: str) -> None:
    assert make_api().get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "x" * 129,
        "x" * 8000,
        "a b",
        "a\tb",
        "a\x7fb",
        "a\x1b[31mb",
        "ä",
        "a,b",
        'a"b',
        "<script>",
        "{}",
        "a;b=c",
        "../../etc/passwd",
        PHONE,
        PHONE[1:],
        "00989123456789",
        "09123456789",
        NATIONAL,
        "0912-345-6789",
        "0912.345.6789",
        "0_912_345_6789",
        "98-912-3456789",
    ],
)
def test_any_other_request_id_is_replaced_by_one_of_ours(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = make_api().get("/healthz", headers={"X-Request-ID": given})
    assert MADE.fullmatch(reply.headers["X-Request-ID"])
    log = capsys.readouterr().err
    assert json.loads(log)["request_id"] == reply.headers["X-Request-ID"]
    assert len(given) < 5 or given not in log


@pytest.mark.parametrize(
    "given", ["req-09123456789", "tel.+989123456789".replace("+", ""), "u_989123456789_1"]
)
def test_a_phone_number_with_letters_around_it_is_no_sane_id_either(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_api().get("/healthz", headers={"X-Request-ID": given})
    assert NATIONAL not in capsys.readouterr().err


def test_a_request_without_an_id_gets_one_of_its_own() -> None:
    api = make_api()
    made = {api.get("/healthz").headers["X-Request-ID"] for _ in range(20)}
    assert len(made) == 20
    assert all(MADE.fullmatch(each) for each in made)


def login(api: Api, sender: Recorder) -> TestResponse:
    api.send()
    return api.verify(PHONE, sender.code_for(PHONE), headers={"X-Request-ID": "mine"})


MINE = {"X-Request-ID": "mine"}
REPLIES: dict[str, tuple[int, Callable[[], TestResponse]]] = {
    "send": (200, lambda: make_api().send(headers=MINE)),
    "login": (200, lambda: login(make_api(sender=(sender := Recorder())), sender)),
    "healthz": (200, lambda: make_api().get("/healthz", headers=MINE)),
    "options": (200, lambda: make_api().request("OPTIONS", SEND, headers=MINE)),
    "invalid": (400, lambda: make_api().post(VERIFY, b"", headers=MINE)),
    "unknown path": (404, lambda: make_api().get("/nothing", headers=MINE)),
    "wrong method": (405, lambda: make_api().get(SEND, headers=MINE)),
    "too large": (413, lambda: make_api().post(SEND, b" " * 9000, headers=MINE)),
    "no JSON": (415, lambda: make_api().request("POST", SEND, headers=MINE)),
    "limited": (429, lambda: [make_api_once().send(headers=MINE) for _ in "12"][-1]),
    "our fault": (500, lambda: make_api(sender=Recorder(RuntimeError())).send(headers=MINE)),
    "failed": (502, lambda: make_api(sender=Recorder(SmsFailed("x"))).send(headers=MINE)),
    "no store": (503, lambda: away().send(headers=MINE)),
    "unready": (503, lambda: make_api(KAVENEGAR_API_KEY="").get("/readyz", headers=MINE)),
}


def make_api_once() -> Api:
    """An API that allows one request, which has been made."""
    api = make_api(OTP_IP_LIMITS="1/minute")
    api.send("x")
    return api


def away() -> Api:
    return make_api(connect(f"redis://127.0.0.1:{free_port()}/0"))


@pytest.mark.parametrize(("status", "ask"), REPLIES.values(), ids=REPLIES)
def test_every_reply_carries_the_id_and_leaves_one_line(
    status: int, ask: Callable[[], TestResponse], capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ask()
    assert reply.status_code == status
    assert reply.headers.getlist("X-Request-ID") == ["mine"]
    *_, line = [each for each in lines(capsys) if each["event"] == "request"]
    assert line["request_id"] == "mine"
    assert line["status"] == status
    assert isinstance(line["duration_ms"], float)
    assert 0 <= line["duration_ms"] < 5000


# --- lines


def test_a_requests_line_says_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    api = make_api()
    lines(capsys)
    reply = api.send()
    [line] = lines(capsys)
    assert line["level"] == "info"
    assert (line["method"], line["route"], line["status"]) == ("POST", SEND, 200)
    assert line["phone"] == "+98912***6789"
    assert line["request_id"] == reply.headers["X-Request-ID"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])


def test_every_request_leaves_exactly_one_line_whatever_becomes_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = make_api()
    lines(capsys)
    replies = [
        api.send(),
        api.verify(PHONE, "000000"),
        api.post(SEND, b"{"),
        api.send("x"),
        api.get("/nothing"),
        api.get(SEND),
        api.get("/healthz"),
        api.request("HEAD", "/healthz"),
    ]
    logged = lines(capsys)
    assert [line["event"] for line in logged] == ["request"] * len(replies)
    assert [line["request_id"] for line in logged] == [r.headers["X-Request-ID"] for r in replies]
    assert [line["status"] for line in logged] == [r.status_code for r in replies]
    assert [line["route"] for line in logged] == [
        SEND,
        VERIFY,
        SEND,
        SEND,
        None,
        None,
        "/healthz",
        "/healthz",
    ]


@pytest.mark.parametrize(
    ("body", "code", "phone"),
    [
        ({"phone_number": "0912 345 6789", "code": "000000"}, "invalid_code", "+98912***6789"),
        ({"phone_number": "+447400123456", "code": "000000"}, "unsupported_destination", None),
        ({"phone_number": "0912345678", "code": "000000"}, "invalid_phone_number", None),
        ({"phone_number": PHONE, "code": "4815x6"}, "invalid_request", None),
    ],
)
def test_a_refusals_line_names_the_error_and_no_input(
    capsys: pytest.CaptureFixture[str], body: dict[str, str], code: str, phone: str | None
) -> None:
    make_api().post(VERIFY, body)
    log = capsys.readouterr().err
    line = json.loads(log)
    assert (line["error"], line.get("phone")) == (code, phone)
    for value in body.values():
        assert value not in log


def test_a_failed_sends_line_holds_the_providers_number(capsys: pytest.CaptureFixture[str]) -> None:
    fault = SmsFailed("refused", fault="configuration", provider_code=418)
    make_api(sender=Recorder(fault)).send()
    [line] = lines(capsys)
    assert (line["error"], line["reason"], line["fault"], line["provider_code"]) == (
        "sms_failed",
        "refused",
        "configuration",
        418,
    )


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_no_code_no_phone_and_no_token_is_ever_logged(capsys: pytest.CaptureFixture[str], level: str) -> None:
    sender = Recorder()
    api = make_api(sender=sender, LOG_LEVEL=level)
    api.send("0912 345 6789")
    code = sender.code_for(PHONE)
    guess = wrong(code)
    api.verify("00989123456789", guess)
    login = api.verify(PHONE, code).json
    api.send()
    assert login is not None
    # The subject of a token is as private as the phone.
    secrets = [code, guess, login["access_token"], login["refresh_token"], login["user"]["id"]]
    log = capsys.readouterr().err
    assert log.count('"request"') >= 4
    for word in [*secrets, NATIONAL, "0912 345 6789", HOME]:
        assert word not in log
    for token in (login["access_token"], login["refresh_token"]):
        assert not any(part in log for part in token.split("."))


def test_query_strings_paths_headers_and_methods_of_clients_are_never_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = make_api()
    word = "pachyderm"
    headers = {"User-Agent": word, "Referer": f"http://{word}/", "Cookie": word, "X-Forwarded-For": word}
    for path in (f"{SEND}?{word}={NATIONAL}", f"/{word}/{NATIONAL}", f"/healthz?{word}", f"/%0a{word}"):
        for method in ("GET", "POST", word.upper()):
            api.request(method, path, headers=headers, data=word, content_type=f"text/{word}", ip=AWAY)
    log = capsys.readouterr().err
    # Twelve requests, and the warning that a proxy is not trusted.
    assert len(log.splitlines()) == 13
    assert word not in log.lower()
    assert NATIONAL not in log


def test_what_breaks_behind_a_route_is_logged_without_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    api = make_api()
    lines(capsys)
    broken: list[int] = []

    @api.app.after_request
    def fail(response: Response) -> Response:
        if not broken:
            broken.append(1)
            raise ZeroDivisionError
        return response

    assert api.get(f"/pachyderm/{NATIONAL}").status_code == 500
    log = capsys.readouterr().err
    assert "ZeroDivisionError" in log
    assert "pachyderm" not in log
    assert NATIONAL not in log


@pytest.mark.parametrize("hostile", ["a\nb", 'x"}\n{"event": "forged'])
def test_no_client_can_forge_a_line(capsys: pytest.CaptureFixture[str], hostile: str) -> None:
    api = make_api()
    lines(capsys)
    api.send(hostile)
    api.verify(PHONE, hostile)
    api.send(channel=hostile)
    assert [line["event"] for line in lines(capsys)] == ["request"] * 3
