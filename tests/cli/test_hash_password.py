"""``flask otp hash-password``, as typed into a shell."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from werkzeug.security import check_password_hash

from tests.conftest import make_settings
from tests.support.gateway import ROOT

COMMAND = [sys.executable, "-m", "flask", "--app", "wsgi", "otp", "hash-password"]
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
FOLDER = ROOT / "tests" / "data"
PASSWORD = "رمز عبور long enough $1"


def hash_of(text: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        COMMAND, cwd=FOLDER, env=ENVIRONMENT, input=text, capture_output=True, check=False, timeout=30
    )


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nanother line\n"])
def test_a_piped_password_becomes_a_hash_that_the_settings_take(end: str) -> None:
    done = hash_of(f"{PASSWORD}{end}".encode())
    assert done.returncode == 0, done.stderr
    made = done.stdout.decode().strip()
    assert "\n" not in made
    assert check_password_hash(made, PASSWORD)
    assert make_settings(ADMIN_PASSWORD_HASH=made).admin_password_hash == made
    assert PASSWORD.encode() not in done.stdout + done.stderr


@pytest.mark.parametrize("text", [b"", b"\n", b"too short\n"])
def test_a_short_password_is_refused(text: bytes) -> None:
    done = hash_of(text)
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"at least 10 characters" in done.stderr


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_of(PASSWORD.encode()).stdout != hash_of(PASSWORD.encode()).stdout


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown() -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        COMMAND, cwd=FOLDER, env=ENVIRONMENT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown = b""
    asked = 0
    deadline = time.monotonic() + 30
    with suppress(OSError):  # the terminal ends with the process
        while time.monotonic() < deadline:
            shown += os.read(master, 4096)
            if shown.count(b": ") > asked and asked < 2:
                asked += 1
                os.write(master, b"long enough for me\n")
    os.close(master)
    assert process.wait(10) == 0
    assert b"long enough for me" not in shown
    assert check_password_hash(shown.decode().split()[-1], "long enough for me")


def test_a_password_that_is_no_text_is_refused_without_a_traceback() -> None:
    done = hash_of(b"\xff\xfe long enough \x80\n")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.strip() == b"Error: The password is no UTF-8 text."
