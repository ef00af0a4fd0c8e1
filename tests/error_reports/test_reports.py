"""The content of a report of an unexpected error, and the data that it must not have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from otp_gateway import error_reports
from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.store import connect
from otp_gateway.version import __version__
from tests.api.support import HOME, PHONE, SEND, VERIFY, Api, Recorder, assert_problem, make_api
from tests.conftest import SECRET_KEY
from tests.error_reports.sink import PUBLIC_KEY, Sink
from tests.senders.support import refusing
from tests.support.gateway import ROOT, Gateway, run_to_exit
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

KEY = "4B5A6C7D8E9F-kavenegar-key"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJl"
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Cookie": "__Host-access=cookie-of-somebody; __Secure-refresh=other-cookie",
    "X-Forwarded-For": "203.0.113.77",
    "User-Agent": "agent-of-somebody",
    "Referer": "https://shop.example/of-somebody",
    "X-Request-ID": "the-request-of-the-test",
}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def secrets(code: str) -> set[str]:
    phone = PHONE.removeprefix("+98")
    spellings = {phone, f"0{phone}", f"98{phone}", "0912 345 6789", "+98912***6789", "91234", "6789"}
    values = {SECRET_KEY, KEY, "203.0.113.77", "127.0.0.1", HOME, "203.0.113"}
    of_somebody = {"somebody", "cookie", *TOKEN.split("."), "Bearer", "metrics-token-of-the-test"}
    return {code, *spellings, *values, *of_somebody}


def found_in(text: str, words: set[str]) -> set[str]:
    return {word for word in words if word in text}


# --- over gunicorn


def test_a_report_has_the_place_and_the_kind_and_no_personal_data(sink: Sink, tmp_path: Path) -> None:
    left = tmp_path / "left"
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "KAVENEGAR_API_KEY": KEY,
        "METRICS_TOKEN": "metrics-token-of-the-test",
        "SENTRY_DSN": sink.dsn,
        "LEFT_FOR_THE_TEST": str(left),
    }
    with Gateway(environment, app="tests.error_reports.failing:app") as gateway:
        reply = gateway.post(SEND, {"phone_number": "0912 345 6789"}, headers=HEADERS)
        assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
        [event] = sink.wait(1)
    [envelope] = sink.envelopes
    phone, code = json.loads(left.read_text())
    assert phone == PHONE
    # The port of the sink and times are numbers of their own.
    assert found_in(_without(event, envelope, sink), secrets(code)) == set()

    kinds = [error["type"] for error in event["exception"]["values"]]
    assert kinds[-1] == "RuntimeError"
    # The errors that caused it, too.
    assert {"ExceptionGroup", "KeyError"} <= set(kinds)
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "fail"
    assert frames[-1]["filename"] == "tests/error_reports/failing.py"
    assert isinstance(frames[-1]["lineno"], int)
    assert "send_otp" in [frame["function"] for frame in frames]
    assert not any({"vars", "context_line", "pre_context"} & frame.keys() for frame in frames)
    assert event["tags"] == {"request_id": "the-request-of-the-test", "route": SEND}
    assert event["release"] == f"otp-gateway@{__version__}"
    assert event["level"] == "error"
    assert event["breadcrumbs"] == {"values": []}
    assert not {"request", "user", "extra", "modules", "logentry", "message"} & event.keys()


def _without(event: dict[str, Any], envelope: str, sink: Sink) -> str:
    """The envelope without the sink's own values: its address, and the ids and times of the SDK."""
    text = envelope.replace(sink.dsn.rpartition("@")[2].rpartition("/")[0], "").replace(PUBLIC_KEY, "")
    for value in (event["event_id"], event["timestamp"], *event["contexts"]["trace"].values()):
        text = text.replace(str(value), "")
    return text


def test_a_group_of_errors_is_told_as_one_without_their_words(sink: Sink) -> None:
    inner = ValueError(PHONE)
    inner.add_note(PHONE)
    report = error_reports.reporter(sink.dsn)
    report(ExceptionGroup(PHONE, [inner, ExceptionGroup(PHONE, [OSError(5, PHONE, PHONE)])]), route=SEND)
    [event] = sink.wait(1)
    kinds = sorted(error["type"] for error in event["exception"]["values"])
    assert kinds == ["ExceptionGroup", "ExceptionGroup", "OSError", "ValueError"]
    assert PHONE not in sink.envelopes[0]


def test_what_is_expected_is_not_reported(sink: Sink) -> None:
    cases: list[tuple[int, Callable[[], Any]]] = [
        (200, lambda: api_with(sink).send()),
        (400, lambda: api_with(sink).send("x")),
        (400, lambda: api_with(sink).post(VERIFY, b"{")),
        (401, lambda: api_with(sink).get("/api/v1/usr/me")),
        (403, lambda: api_with(sink).get("/metrics")),
        (404, lambda: api_with(sink).get("/nothing")),
        (405, lambda: api_with(sink).get(SEND)),
        (413, lambda: api_with(sink).post(SEND, b" " * 9000)),
        (415, lambda: api_with(sink).request("POST", SEND)),
        (429, lambda: [api.send() for api in [api_with(sink)] for _ in range(4)][-1]),
        (502, lambda: api_with(sink, Recorder(SmsFailed("x"))).send()),
        (504, lambda: api_with(sink, Recorder(SmsUnconfirmed("x"))).send()),
        (503, lambda: away(sink).send()),
    ]
    for status, ask in cases:
        assert ask().status_code == status
    # Reports are sent in order: when this one has arrived, no earlier one is still being sent.
    last = api_with(sink, Recorder(RuntimeError()))
    assert last.send().status_code == 500
    [event] = sink.wait(1)
    assert [error["type"] for error in event["exception"]["values"]] == ["RuntimeError"]


def api_with(sink: Sink, sender: Recorder | None = None) -> Api:
    return make_api(sender=sender or Recorder(), SENTRY_DSN=sink.dsn)


def away(sink: Sink) -> Api:
    return make_api(connect(f"redis://127.0.0.1:{free_port()}/0"), SENTRY_DSN=sink.dsn)


@pytest.mark.parametrize("place", ["route", "before", "after"])
def test_an_error_is_reported_once_wherever_it_is_raised(sink: Sink, place: str) -> None:
    api = api_with(sink)
    failed: list[int] = []

    def fail(response: Any = None, word: str = "") -> Any:
        del word
        if not failed:
            failed.append(1)
            raise ZeroDivisionError(PHONE)
        return response

    match place:
        case "route":
            api.app.add_url_rule("/broken/<word>", view_func=fail)
        case "before":
            api.app.before_request(fail)
        case "after":
            api.app.after_request(fail)
    assert_problem(api.get(f"/broken/{PHONE}"), 500, "internal_error")
    api_with(sink, Recorder(RuntimeError())).send()
    sink.wait(2)
    kinds = sorted(event["exception"]["values"][-1]["type"] for event in sink.events())
    assert kinds == ["RuntimeError", "ZeroDivisionError"]
    [event] = [e for e in sink.events() if e["exception"]["values"][-1]["type"] == "ZeroDivisionError"]
    assert event["tags"].get("route") == ("/broken/<word>" if place == "route" else None)
    assert PHONE[3:] not in json.dumps(sink.events())


def test_a_client_that_sends_a_phone_as_its_request_id_is_not_quoted(sink: Sink) -> None:
    api = api_with(sink, Recorder(RuntimeError()))
    reply = api.send(headers={"X-Request-ID": PHONE})
    [event] = sink.wait(1)
    assert event["tags"]["request_id"] == reply.headers["X-Request-ID"]
    assert PHONE not in sink.envelopes[0]


class Nasty(Exception):
    """An error that raises errors when it is inspected."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_an_error_that_cannot_be_looked_at_is_answered_all_the_same(sink: Sink) -> None:
    report = error_reports.reporter(sink.dsn)
    report(Nasty(), route="/x")
    error = RuntimeError()
    error.__cause__ = error
    report(error)


# --- a sink that does not work


def test_a_sink_that_is_down_or_hangs_holds_up_neither_replies_nor_the_end(
    sink: Sink, tmp_path: Path
) -> None:
    sink.hang.set()
    with refusing() as refused:
        for dsn in (sink.dsn, refused.replace("http://", f"http://{PUBLIC_KEY}@") + "/1"):
            environment = {
                "SENTRY_DSN": dsn,
                "SMS_TIMEOUT": "1",
                "OTP_IP_LIMITS": "1000/minute",
                "OTP_PHONE_LIMITS": "1000/minute",
                "LEFT_FOR_THE_TEST": str(tmp_path / "left"),
            }
            with Gateway(environment, app="tests.error_reports.failing:app") as gateway:
                with ThreadPoolExecutor(8) as pool:
                    body = {"phone_number": PHONE}
                    jobs = [pool.submit(gateway.post, SEND, body) for _ in range(200)]
                    assert {job.result().status_code for job in jobs} == {500}
                assert gateway.get("/healthz").status_code == 200
                if dsn == sink.dsn:
                    assert sink.arrived.acquire(timeout=10)
                gateway.terminate()
                assert gateway.wait_exit() == 0
                # The worker ended by itself, well before gunicorn's timeout.
                assert "was sent SIGKILL" not in gateway.log()
                assert gateway.log().count("unhandled exception") == 200


def test_a_report_that_waits_is_not_lost_when_the_process_ends(sink: Sink, tmp_path: Path) -> None:
    sink.hang.set()
    environment = {"SENTRY_DSN": sink.dsn, "LEFT_FOR_THE_TEST": str(tmp_path / "left")}
    with Gateway(environment, app="tests.error_reports.failing:app") as gateway:
        for _ in range(2):
            assert gateway.post(SEND, {"phone_number": PHONE}).status_code == 500
        # The first report is being sent, the second one waits for it.
        assert sink.arrived.acquire(timeout=10)
        gateway.terminate()
        wait_until(lambda: not gateway.workers, "the worker's last words")
        sink.hang.clear()
        assert gateway.wait_exit() == 0
    assert len(sink.events()) == 2


def test_with_redis_and_several_workers_each_reports(sink: Sink, tmp_path: Path) -> None:
    with RedisServer() as server:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": server.url,
            "SENTRY_DSN": sink.dsn,
            "OTP_IP_LIMITS": "1000/minute",
            "OTP_PHONE_LIMITS": "1000/minute",
            "LEFT_FOR_THE_TEST": str(tmp_path / "left"),
        }
        with Gateway(environment, workers=2, app="tests.error_reports.failing:app") as gateway:
            with ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(gateway.post, SEND, {"phone_number": PHONE}) for _ in range(20)]
                ids = {job.result().headers["X-Request-ID"] for job in jobs}
            assert {event["tags"]["request_id"] for event in sink.wait(20)} == ids


# --- without


def test_without_a_dsn_the_sdk_is_not_even_imported() -> None:
    script = (
        "import sys; from otp_gateway import create_app; app = create_app(); "
        "app.test_client().get('/healthz'); print('sentry_sdk' in sys.modules)"
    )
    for dsn, imported in (("", "False"), ("http://key@127.0.0.1:9/1", "True")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT / "tests" / "data",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SENTRY_DSN": dsn},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert done.stdout.strip() == imported


def test_a_dsn_without_the_sdk_does_not_start_and_says_how_it_would(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['sentry_sdk'] = None\n")
    path = f"{tmp_path}:{ROOT}"
    dsn = "https://key-of-somebody@sentry.example.com/1"
    status, log = run_to_exit({"SENTRY_DSN": dsn, "PYTHONPATH": path})
    assert status == 1
    assert "SENTRY_DSN: needs the SDK" in log
    assert "pip install -r requirements-sentry.txt" in log
    assert "key-of-somebody" not in log
    with Gateway({"PYTHONPATH": path}) as gateway:
        assert gateway.get("/healthz").status_code == 200
