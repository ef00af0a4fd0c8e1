"""The format of the log, from processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PHONE = "+989123456789"
SPEAK = """
import logging, sys
from otp_gateway import log
log.configure(sys.argv[1])
ours, foreign = log.get_logger("otp_gateway.ours"), logging.getLogger("foreign")
ours.debug("whisper")
ours.info("کد", status=200, phone="+98912***6789")
foreign.info("plain %s", "text", extra={"route": "/x"})
for name in ("urllib3.connectionpool", "urllib3", "flask-limiter", "werkzeug"):
    logging.getLogger(name).debug("https://host/v1/KEY/sms/send.json")
    logging.getLogger(name).info("https://host/v1/KEY/sms/send.json")
def fail(password):
    raise ValueError("boom\\nin two lines")
for logger in (ours, foreign):
    try:
        fail("hun" + "ter2")
    except ValueError:
        logger.exception("failed")
"""


def speak(level: str) -> list[dict[str, Any]]:
    """The lines that a process logs at this level, parsed; every line must be JSON."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, level], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return speak("DEBUG")


def test_every_line_is_a_json_object_with_level_logger_and_milliseconds(lines: list[dict[str, Any]]) -> None:
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("whisper", "debug", "otp_gateway.ours"),
        ("کد", "info", "otp_gateway.ours"),
        ("plain text", "info", "foreign"),
        ("failed", "error", "otp_gateway.ours"),
        ("failed", "error", "foreign"),
    ]
    assert all(TIMESTAMP.fullmatch(line["timestamp"]) for line in lines)


def test_values_are_members_of_their_own(lines: list[dict[str, Any]]) -> None:
    assert (lines[1]["status"], lines[1]["phone"]) == (200, "+98912***6789")
    assert lines[2]["route"] == "/x"


def test_an_exception_is_a_text_without_local_variables(lines: list[dict[str, Any]]) -> None:
    for line in lines[3:]:
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert "ValueError: boom\nin two lines" in line["exception"]
    assert "hunter2" not in json.dumps(lines)


def test_libraries_that_would_print_the_providers_key_are_silent_at_debug(
    lines: list[dict[str, Any]],
) -> None:
    assert "KEY" not in json.dumps(lines)


@pytest.mark.parametrize(("level", "events"), [("INFO", 4), ("WARNING", 2), ("CRITICAL", 0)])
def test_the_level_holds_for_ours_and_foreign_loggers(level: str, events: int) -> None:
    assert len(speak(level)) == events


def test_a_gateway_at_debug_level_writes_json_only_and_no_secret(emulator: KavenegarEmulator) -> None:
    environ = {
        "SECRET_KEY": SECRET_KEY,
        "LOG_LEVEL": "DEBUG",
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    }
    with Gateway(environ) as gateway:
        assert gateway.post("/api/v1/usr/otp", {"phone_number": PHONE}).status_code == 200
        code = emulator.code_for(PHONE)
    lines = [json.loads(line) for line in gateway.log().splitlines()]
    assert all(TIMESTAMP.fullmatch(line["timestamp"]) for line in lines)
    events = {(line["logger"], line["event"]) for line in lines}
    assert ("otp_gateway.request", "request") in events
    assert [event for logger, event in events if logger == "gunicorn.error" and "Listening at" in event]
    assert (
        "gunicorn.error",
        "REDIS_URL is not set: all state lives in this one process and ends with it",
    ) in events
    for secret in (SECRET_KEY, emulator.api_key, PHONE[1:], PHONE[3:], code):
        assert secret not in gateway.log()
