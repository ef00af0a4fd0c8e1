"""``make run`` says at once that its port is taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support.gateway import ROOT
from tests.support.programs import require_program


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
