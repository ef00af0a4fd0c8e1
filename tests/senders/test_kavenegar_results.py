"""The meaning of the provider's answers: result codes, entries and unreadable bodies."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.senders.support import PHONE, TEMPLATE, Flood, bounded, failure, raw, reply, send, sender_to
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Fault, KavenegarEmulator, envelope

REFUSALS = {
    "caller": (411,),
    "configuration": (401, 403, 407, 412, 416, 418, 420, 424, 426, 427, 430, 432, 501, 607),
    "bug": (400, 404, 405, 406, 413, 414, 415, 417, 419, 422, 428, 431),
    "temporary": (409, 429, 451),
}
DOUBTS = {"temporary": (500, 502, 503, 504, 599), "unknown": (402, 408, 423, 433, 600, 608, 999)}
CODES = [
    pytest.param(code, definite, fault, id=str(code))
    for definite, table in ((True, REFUSALS), (False, DOUBTS))
    for fault, codes in table.items()
    for code in codes
]
REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize(
    "style",
    [{}, {"http": 200}, {"http": 200, "as_text": True}, {"as_text": True}],
    ids=["http-too", "http-200", "text-http-200", "text"],
)
@pytest.mark.parametrize(("code", "definite", "fault"), CODES)
def test_a_result_code_tells_whose_fault_it_is_and_whether_definitely_nothing_was_sent(
    emulator: KavenegarEmulator, code: int, definite: bool, fault: str, style: dict[str, Any]
) -> None:
    emulator.fault = faults.code(code, **style)
    error = failure(sender_to(emulator.base_url))
    assert (error.definite, error.fault, error.provider_code) == (definite, fault, code)


@pytest.mark.parametrize(
    ("code", "definite"), [(411, True), (424, True), (409, True), (402, False), (503, False)]
)
def test_a_result_code_means_the_same_for_a_lookup(
    emulator: KavenegarEmulator, code: int, definite: bool
) -> None:
    emulator.fault = faults.code(code)
    error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE))
    assert (error.definite, error.provider_code) == (definite, code)


@pytest.mark.parametrize("http", [None, 500], ids=["http-200", "http-500"])
def test_a_result_of_200_is_a_success_whatever_its_type_and_http_status(
    emulator: KavenegarEmulator, http: int | None
) -> None:
    emulator.fault = faults.code(200, http=http, as_text=True)
    send(sender_to(emulator.base_url))
    assert len(emulator.messages_to(PHONE.e164)) == 1


@pytest.mark.parametrize(
    ("fault", "whose"),
    [
        pytest.param(faults.html(502), "temporary", id="html-502"),
        pytest.param(faults.html(503), "temporary", id="html-503"),
        pytest.param(faults.http_error(500, as_json=True), "temporary", id="foreign-json-500"),
        pytest.param(faults.empty(504), "temporary", id="empty-504"),
        pytest.param(faults.html(200), "unknown", id="html-200"),
        pytest.param(faults.html(403), "unknown", id="html-403"),
        pytest.param(faults.empty(), "unknown", id="empty"),
        pytest.param(faults.invalid_json(), "unknown", id="invalid-json"),
        pytest.param(faults.no_return(), "unknown", id="no-return"),
        pytest.param(reply(b"\xff\xfe\x00"), "unknown", id="no-utf-8"),
        pytest.param(reply(b"[" * 100_000), "unknown", id="deep-json"),
        pytest.param(reply(b"null"), "unknown", id="null"),
        pytest.param(reply(b'{"return":{"status":null},"entries":null}'), "unknown", id="status-null"),
        pytest.param(reply(b'{"return":{"status":"ok"},"entries":null}'), "unknown", id="status-word"),
        pytest.param(reply(b'{"return":{"status":1e999},"entries":null}'), "unknown", id="status-infinite"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n", b"{}"),
            "temporary",
            id="broken-gzip",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 2\r\n\r\n", b"{}"),
            "unknown",
            id="broken-headers",
        ),
        pytest.param(raw(b"no HTTP at all\r\n\r\n"), "temporary", id="no-http"),
        *(pytest.param(faults.redirect(status=status), "unknown", id=str(status)) for status in REDIRECTS),
    ],
)
@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
def test_an_unreadable_answer_leaves_the_send_unconfirmed(
    emulator: KavenegarEmulator, fault: Fault, whose: str, template: str
) -> None:
    emulator.fault = fault
    error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template))
    assert (error.definite, error.fault, error.provider_code) == (False, whose, None)


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_not_followed_and_the_key_does_not_travel(
    emulator: KavenegarEmulator, status: int
) -> None:
    with KavenegarEmulator() as elsewhere:
        emulator.fault = faults.redirect(f"{elsewhere.base_url}/v1/elsewhere", status)
        failure(sender_to(emulator.base_url))
        emulator.fault = faults.redirect("/relative", status)
        failure(sender_to(emulator.base_url))
        assert elsewhere.requests == []
    assert {request.action for request in emulator.requests} == {"sms/send"}


@pytest.mark.parametrize("location", ["http://[::1", "/\xff\xfe", "http://h:port/"])
def test_a_redirect_to_no_address_is_unreadable_and_ends_no_thread_with_a_traceback(
    emulator: KavenegarEmulator, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes: list[object] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    emulator.fault = faults.redirect(location)
    error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE))
    for thread in threading.enumerate():
        if thread.name == "kavenegar":
            thread.join(1)
    assert not crashes
    assert (error.definite, error.reason) == (False, "unreadable")


@pytest.mark.parametrize(
    "flood", [Flood(200), Flood(502), Flood(302, ("Location", "/x"))], ids=["200", "502", "302"]
)
def test_of_an_endless_body_only_a_little_is_read(emulator: KavenegarEmulator, flood: Flood) -> None:
    emulator.fault = flood
    # It ends long before SMS_TIMEOUT, because of the size.
    with bounded(0):
        error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE, SMS_TIMEOUT=5))
    assert not error.definite
    # The sender does not control how much both kernels buffer.
    assert flood.megabytes < 16


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
@pytest.mark.parametrize("status", [1, 2, 4, 5, 10])
def test_a_message_that_is_on_its_way_is_a_success(
    emulator: KavenegarEmulator, status: int, template: str
) -> None:
    emulator.fault = faults.entry_status(status)
    send(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template))
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
@pytest.mark.parametrize(
    ("status", "definite"), [(6, True), (14, True), (0, False), (11, False), (13, False), (100, False)]
)
def test_only_failed_and_blocked_messages_are_definitely_not_sent(
    emulator: KavenegarEmulator, status: int, definite: bool, template: str
) -> None:
    emulator.fault = faults.entry_status(status)
    error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template))
    assert (error.definite, error.provider_code) == (definite, status)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    "entries",
    [
        "null",
        "[]",
        "[null]",
        "{}",
        "7",
        '[{"receptor":"09123456789"}]',
        '[{"status":"x"}]',
        '[{"status":1e999}]',
    ],
)
def test_a_good_result_without_a_readable_entry_is_unconfirmed(
    emulator: KavenegarEmulator, entries: str
) -> None:
    emulator.fault = reply(f'{{"return":{{"status":200,"message":""}},"entries":{entries}}}'.encode())
    assert not failure(sender_to(emulator.base_url)).definite


def test_the_record_of_another_message_means_that_ours_was_not_sent(
    emulator: KavenegarEmulator,
) -> None:
    emulator.fault = faults.wrong_receptor()
    assert failure(sender_to(emulator.base_url)).definite
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    "receptor", ["09123456789", "9123456789", "+989123456789", "00989123456789", "989123456789", 9123456789]
)
def test_every_format_of_our_phone_in_the_record_is_ours(
    emulator: KavenegarEmulator, receptor: str | int
) -> None:
    entry = {"messageid": 1, "status": 5, "receptor": receptor}
    emulator.fault = reply(json.dumps(envelope(200, [entry])).encode())
    send(sender_to(emulator.base_url))
    assert len(emulator.requests) == 1
