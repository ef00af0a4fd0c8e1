"""``make run`` on a terminal: a port that is taken, a line for each request, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest
import requests

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import slow
from tests.support.programs import require_program
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

CTRL_C = b"\x03"
# Makes standard input the terminal whose Ctrl-C reaches the process, and replaces itself.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """``make run``'s process on a terminal of its own."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._shown = bytearray()
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, sys.executable, "-m", "otp_gateway.dev"],
            cwd=ROOT / "tests" / "data",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(port), **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def shown(self) -> str:
        """Everything on the terminal so far, without colours."""
        return COLOUR.sub("", self._shown.decode().replace("\r\n", "\n"))

    def is_ready(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        return False

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        os.write(self._terminal, CTRL_C)
        status = self._process.wait(30)
        self._reader.join()
        os.close(self._terminal)
        return status

    def _read(self) -> None:
        # The terminal of a process that has ended is an error.
        with suppress(OSError):
            while data := os.read(self._terminal, 4096):
                self._shown += data


@contextmanager
def running(**variables: str) -> Iterator[Terminal]:
    terminal = Terminal(variables)
    try:
        wait_until(terminal.is_ready, "the gateway")
    except BaseException:
        terminal.stop()
        raise
    yield terminal


def send(url: str) -> None:
    with suppress(requests.RequestException):
        requests.post(f"{url}/api/v1/usr/otp", json={"phone_number": "09123456789"}, timeout=10)


@pytest.mark.parametrize("dead", ["refuses", "hangs"])
def test_ctrl_c_ends_it_without_an_error_while_redis_is_dead(dead: str) -> None:
    with RedisServer() as server:
        server.pause() if dead == "hangs" else server.kill()
        with running(REDIS_URL=server.url, SECRET_KEY=SECRET_KEY) as terminal:
            # A request that waits for Redis, one that has waited, and its count that is still to be written.
            send(terminal.url)
            waits = threading.Thread(target=send, args=(terminal.url,))
            waits.start()
            status = terminal.stop()
            waits.join()
    shown = terminal.shown()
    assert (status, "Shutting down: Master" in shown) == (0, True)
    for trouble in ("SIGKILL", "memory", "Traceback", "exited with code"):
        assert trouble not in shown, shown


def test_ctrl_c_does_not_wait_for_a_provider_that_hangs(emulator: KavenegarEmulator) -> None:
    emulator.fault = slow(60)
    variables = {
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "SMS_TIMEOUT": "60",
    }
    with running(**variables) as terminal:
        waits = threading.Thread(target=send, args=(terminal.url,))
        waits.start()
        wait_until(lambda: any("sms/send" in request.path for request in emulator.requests), "the send")
        status = terminal.stop()
        waits.join()
    assert (status, "SIGKILL" in terminal.shown()) == (0, False)


def test_a_request_is_one_short_line() -> None:
    with running() as terminal:
        for body in ({"phone_number": "09123456789"}, {"phone_number": "0912"}):
            requests.post(f"{terminal.url}/api/v1/usr/otp", json=body, timeout=10)
        requests.get(f"{terminal.url}/nowhere", timeout=10)
        status = terminal.stop()
    lines = [line for line in terminal.shown().splitlines() if re.match(r"[\d:]{8} \d{3} ", line)]
    assert status == 0
    assert [re.sub(r"^[\d:]{8} |\b\d+ ms", "", line) for line in lines if "healthz" not in line] == [
        "200 POST /api/v1/usr/otp  +98912***6789",
        "400 POST /api/v1/usr/otp  invalid_phone_number",
        "404 GET -  not_found",
    ]
    assert "{" not in terminal.shown()


def test_a_taken_port_ends_the_start_at_once_and_names_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "otp_gateway.dev"],
            cwd=ROOT / "tests" / "data",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is in use: choose another one with: make run PORT=9000\n"
    assert "password" not in done.stdout


@pytest.mark.parametrize("target", ["run", "test"])
def test_make_says_that_it_installs(target: str) -> None:
    shown = subprocess.run(
        [require_program("make"), "--dry-run", "--always-make", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "Installing" in shown
