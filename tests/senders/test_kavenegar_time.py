"""Sends end in time; connections that fail; when a send is repeated, and what the repeat shows."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.senders.support import (
    PHONE,
    REFERENCE,
    TEMPLATE,
    bounded,
    failure,
    in_turn,
    refusing,
    send,
    sender_to,
    silent,
)
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Fault, KavenegarEmulator
from tests.support.servers import LoopbackServer

CERTIFICATE = Path(__file__).with_name("self-signed.pem")
BOTH = pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])


@pytest.fixture
def untrusted() -> Iterator[tuple[str, list[bytes]]]:
    """An https server whose certificate no authority has signed, and the data that it received."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    told: list[bytes] = []

    def serve(connection: Any, _: object) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            told.append(secured.recv(4096))

    server = LoopbackServer(serve)
    server.start()
    try:
        yield f"https://127.0.0.1:{server.port}", told
    finally:
        server.stop()


@BOTH
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.hang(30), id="hang"),
        pytest.param(faults.slow(30), id="slow"),
        pytest.param(faults.drip_body(), id="drip-body"),
        pytest.param(faults.drip_headers(), id="drip-headers"),
    ],
)
def test_a_provider_that_takes_too_long_leaves_the_send_unconfirmed_in_time(
    emulator: KavenegarEmulator, fault: Fault, template: str
) -> None:
    emulator.fault = fault
    with bounded(1):
        error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    assert (error.definite, error.reason, error.fault) == (False, "timeout", "temporary")


@BOTH
def test_a_body_without_end_ends_in_time(emulator: KavenegarEmulator, template: str) -> None:
    emulator.fault = faults.huge()
    with bounded(1):
        error = failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    assert not error.definite


@BOTH
def test_a_refused_connection_definitely_sent_nothing(template: str) -> None:
    with refusing() as url, bounded(1):
        error = failure(sender_to(url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    assert (error.definite, error.reason, error.fault) == (True, "unreachable", "temporary")


@BOTH
def test_a_connection_that_is_never_made_definitely_sent_nothing(template: str) -> None:
    with silent(full=True) as url, bounded(1):
        error = failure(sender_to(url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    assert (error.definite, error.reason, error.fault) == (True, "unreachable", "temporary")


@BOTH
def test_a_tls_handshake_that_never_ends_definitely_sent_nothing(template: str) -> None:
    with silent("https") as url, bounded(1):
        error = failure(sender_to(url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    assert (error.definite, error.fault) == (True, "temporary")


def test_a_tls_handshake_with_a_plain_server_definitely_sent_nothing(emulator: KavenegarEmulator) -> None:
    error = failure(sender_to(emulator.base_url.replace("http:", "https:")))
    assert emulator.requests == []
    assert error.definite


def test_a_server_with_an_untrusted_certificate_receives_nothing(untrusted: tuple[str, list[bytes]]) -> None:
    url, told = untrusted
    error = failure(sender_to(url))
    assert (error.definite, error.fault) == (True, "configuration")
    assert told == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.hang(30, deliver=True), id="hang"),
        pytest.param(faults.drop(deliver=True), id="drop"),
        pytest.param(faults.html(502, deliver=True), id="html-502"),
        pytest.param(faults.http_error(500, as_json=True, deliver=True), id="json-500"),
        pytest.param(faults.empty(deliver=True), id="empty"),
    ],
)
def test_a_repeat_under_the_same_localid_finds_the_message_that_went_out(
    emulator: KavenegarEmulator, fault: Fault
) -> None:
    emulator.set_fault(fault, times=1)
    with bounded(1):
        send(sender_to(emulator.base_url, SMS_TIMEOUT=1))
    assert [request.form["localid"] for request in emulator.requests] == [str(REFERENCE)] * 2
    assert len(emulator.messages_to(PHONE.e164)) == 1


def test_a_repeat_delivers_what_the_first_attempt_did_not(emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.drop(), times=1)
    send(sender_to(emulator.base_url))
    assert len(emulator.messages_to(PHONE.e164)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.hang(30, deliver=True), id="hang"),
        pytest.param(faults.drop(deliver=True), id="drop"),
        pytest.param(faults.html(502, deliver=True), id="html-502"),
        pytest.param(faults.empty(deliver=True), id="empty"),
        pytest.param(faults.no_return(deliver=True), id="no-return"),
        pytest.param(faults.code(503), id="code-503"),
        pytest.param(faults.code(409), id="code-409"),
        pytest.param(faults.entry_status(100, deliver=True), id="entry-100"),
    ],
)
def test_a_lookup_that_may_have_arrived_is_never_repeated(emulator: KavenegarEmulator, fault: Fault) -> None:
    emulator.fault = fault
    failure(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE, SMS_TIMEOUT=1))
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("code", [411, 418, 402, 409])
def test_an_sms_that_was_refused_is_not_repeated(emulator: KavenegarEmulator, code: int) -> None:
    emulator.fault = faults.code(code)
    failure(sender_to(emulator.base_url))
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(faults.drop(deliver=True), faults.code(418), id="drop-418"),
        pytest.param(faults.empty(deliver=True), faults.code(409), id="empty-409"),
        pytest.param(faults.code(500), faults.code(411), id="500-411"),
        pytest.param(faults.html(502, deliver=True), faults.drop(), id="502-drop"),
    ],
)
def test_a_refusal_of_the_repeat_says_nothing_of_the_first_attempt(
    emulator: KavenegarEmulator, first: Fault, second: Fault
) -> None:
    emulator.fault = in_turn(first, second)
    assert not failure(sender_to(emulator.base_url)).definite
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("status", [6, 14])
def test_a_repeat_that_finds_the_message_failed_is_definite(emulator: KavenegarEmulator, status: int) -> None:
    emulator.fault = in_turn(faults.drop(), faults.entry_status(status))
    error = failure(sender_to(emulator.base_url))
    assert (error.definite, error.provider_code) == (True, status)


@pytest.mark.parametrize("fault", [faults.drip_body(), faults.drip_headers()], ids=["body", "headers"])
def test_a_dripping_provider_holds_no_thread_beyond_the_deadline(
    emulator: KavenegarEmulator, fault: Fault
) -> None:
    emulator.fault = fault
    failure(sender_to(emulator.base_url, SMS_TIMEOUT=1, KAVENEGAR_TEMPLATE=TEMPLATE))
    ended = time.monotonic() + 2
    while any(thread.name == "sms" for thread in threading.enumerate()):
        assert time.monotonic() < ended
        time.sleep(0.02)
