"""The API key is in the provider's URL, so also in the HTTP library's texts.

None of our texts may have it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator

import pytest

from otp_gateway.senders.kavenegar.api import Kavenegar
from tests.senders.support import CODE, KEY, PHONE, TEMPLATE, failure, raw, refusing, sender_to, silent
from tests.support import kavenegar_faults as faults
from tests.support.gateway import ROOT
from tests.support.kavenegar import Fault, KavenegarEmulator

FAULTS = [
    pytest.param(faults.drop(), id="drop"),
    pytest.param(faults.hang(30), id="hang"),
    pytest.param(faults.html(), id="html"),
    pytest.param(faults.redirect(), id="redirect"),
    pytest.param(faults.code(403), id="code-403"),
    pytest.param(raw(b"no HTTP at all\r\n\r\n"), id="no-http"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n", b"{}"), id="broken-headers"),
]
# One lookup in a process of its own, with the most detailed log that the settings allow.
SEND_AND_LOG = """
import sys
from otp_gateway import log
from otp_gateway.errors import SendFailed
from otp_gateway.model import PhoneNumber
from tests.senders.support import send, sender_to
log.configure("DEBUG")
logger = log.get_logger("test")
try:
    send(sender_to(sys.argv[1], KAVENEGAR_TEMPLATE="login", SMS_TIMEOUT=1))
    logger.info("sent")
except SendFailed:
    logger.exception("failed")
"""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all its causes and contexts, suppressed ones included: an error tracker may send them."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def texts(error: BaseException) -> Iterator[str]:
    for link in chain(error):
        yield from (str(link), repr(link), repr(link.args), repr(vars(link)))
        yield from traceback.format_exception(link)
        # requests attaches the whole request to its errors.
        if request := getattr(link, "request", None):
            yield f"{request.url} {request.body}"


def assert_keeps_the_secrets(url: str, template: str = "") -> None:
    error = failure(sender_to(url, KAVENEGAR_TEMPLATE=template, SMS_TIMEOUT=1))
    for text in texts(error):
        assert KEY not in text
        assert CODE not in text
        assert PHONE.e164 not in text


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_and_what_hangs_on_it_hold_neither_key_nor_code_nor_phone(
    emulator: KavenegarEmulator, fault: Fault
) -> None:
    emulator.fault = fault
    assert_keeps_the_secrets(emulator.base_url)


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
def test_the_error_of_a_refused_connection_holds_no_key(template: str) -> None:
    with refusing() as url:
        assert_keeps_the_secrets(url, template)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_error_of_a_connection_that_is_never_made_holds_no_key(scheme: str) -> None:
    with silent(scheme, full=True) as url:
        assert_keeps_the_secrets(url)


def test_no_repr_holds_the_key() -> None:
    api = Kavenegar(KEY, "https://api.kavenegar.com")
    sender = sender_to("https://api.kavenegar.com")
    assert not [text for text in (repr(api), str(api), repr(sender), str(sender)) if KEY in text]


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        pytest.param(None, "sent", id="success"),
        pytest.param(faults.drop(), "failed", id="drop"),
        pytest.param(faults.redirect(), "failed", id="redirect"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n", b"{}"), "failed", id="broken-headers"
        ),
    ],
)
def test_a_log_at_debug_level_does_not_hold_the_key(
    emulator: KavenegarEmulator, fault: Fault | None, event: str
) -> None:
    emulator.fault = fault
    done = subprocess.run(
        [sys.executable, "-c", SEND_AND_LOG, emulator.base_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert json.loads(done.stderr.splitlines()[-1])["event"] == event
    assert KEY not in done.stdout + done.stderr
    assert CODE not in done.stdout + done.stderr
