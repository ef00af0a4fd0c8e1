"""Clients of other authors solve our challenges: the examples of docs/CHALLENGE.md, and ALTCHA's library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, environment
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import node_project, require_program
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PHONE = "+989123456789"
SEND = "/api/v1/usr/otp"
# Reads a challenge, and writes the solution.
PYTHON_CALL = "import json, sys\nfrom example import solve\nprint(solve(json.load(sys.stdin)))"
NODE_CALL = """
import { text } from "node:stream/consumers";
import { solve } from "./NAME";
console.log(await solve(JSON.parse(await text(process.stdin))));
"""
# Requests a code.
NODE_SEND = """
import { sendCode } from "./NAME";
console.log(await sendCode(...process.argv.slice(2)));
"""


@cache
def examples() -> dict[str, str]:
    """The code of each example, by name."""
    text = (ROOT / "docs/CHALLENGE.md").read_text(encoding="utf-8")
    python, *scripts = re.findall(r"^```(?:python|js)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    by_hand, library = scripts
    assert "altcha-lib" in library
    return {"python": python, "javascript": by_hand, "altcha-lib": library}


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[Gateway]:
    redis_server.clear()
    more = {
        "OTP_IP_LIMITS": "1000/minute",
        "OTP_PHONE_LIMITS": "1000/minute",
    }
    with Gateway(environment(redis_server.url, running_emulator, **more), workers=1) as gateway:
        yield gateway


def solved_by(name: str, challenge: dict[str, Any], directory: Path) -> str:
    """The solution that the example finds, in a process of its own."""
    if name == "python":
        (directory / "example.py").write_text(examples()[name], encoding="utf-8")
        (directory / "call.py").write_text(PYTHON_CALL, encoding="utf-8")
        command = [sys.executable, str(directory / "call.py")]
    else:
        project = node_project()
        (project / f"{name}.mjs").write_text(examples()[name], encoding="utf-8")
        call = project / f"call-{name}.mjs"
        call.write_text(NODE_CALL.replace("NAME", f"{name}.mjs"), encoding="utf-8")
        command = [require_program("node"), str(call)]
    finished = subprocess.run(
        command, input=json.dumps(challenge), capture_output=True, text=True, timeout=90, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.parametrize("name", ["python", "javascript", "altcha-lib"])
def test_a_client_solves_our_challenge(
    name: str, gateway: Gateway, emulator: KavenegarEmulator, tmp_path: Path
) -> None:
    refusal = gateway.post(SEND, {"phone_number": PHONE, "challenge": "nonsense"}).json()
    assert refusal["code"] == "invalid_challenge"

    solution = solved_by(name, refusal["challenge"], tmp_path)

    body = {"phone_number": PHONE, "challenge": solution}
    assert gateway.post(SEND, body).status_code == 200
    assert gateway.post(SEND, body).json()["code"] == "invalid_challenge"
    assert len(emulator.messages_to(PHONE)) == 1


@pytest.fixture(scope="module")
def guarded(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[Gateway]:
    """A gateway whose networks have credit for one send, all together. That send has been made."""
    redis_server.clear()
    more = {
        "OTP_IP_LIMITS": "1000/minute",
        "OTP_GATE": "on",
        "OTP_GATE_CREDIT": "1",
    }
    with Gateway(environment(redis_server.url, running_emulator, **more), workers=1) as gateway:
        assert gateway.post(SEND, {"phone_number": "+989121112233"}).status_code == 200
        yield gateway


@pytest.mark.parametrize(("name", "phone"), [("python", "+989123456701"), ("javascript", "+989123456702")])
def test_an_example_has_a_code_sent_although_the_gateway_asks_for_a_solution(
    name: str, phone: str, guarded: Gateway, emulator: KavenegarEmulator, tmp_path: Path
) -> None:
    assert guarded.post(SEND, {"phone_number": phone}).json()["code"] == "challenge_required"
    if name == "python":
        example = tmp_path / "example.py"
        example.write_text(examples()[name], encoding="utf-8")
        command = [sys.executable, str(example), guarded.url, phone]
    else:
        project = node_project()
        (project / f"{name}.mjs").write_text(examples()[name], encoding="utf-8")
        call = project / f"send-{name}.mjs"
        call.write_text(NODE_SEND.replace("NAME", f"{name}.mjs"), encoding="utf-8")
        command = [require_program("node"), str(call), guarded.url, phone]

    finished = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    assert finished.returncode == 0, finished.stderr
    assert "expires_in" in finished.stdout
    assert len(emulator.messages_to(phone)) == 1
