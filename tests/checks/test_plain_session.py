"""The refusal of redirects is stated once, for the sender and for the checks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import requests

import otp_gateway
from otp_gateway.checks.plain_session import PlainSession
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator

PACKAGE = Path(otp_gateway.__file__).parent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_session_follows_no_redirect_of_either_method(
    emulator: KavenegarEmulator, method: str, status: int
) -> None:
    emulator.fault = faults.redirect("/elsewhere", status)
    with PlainSession() as session:
        reply = session.request(method, f"{emulator.base_url}/v1/key/sms/send.json", timeout=5)
    assert reply.status_code == status
    assert len(emulator.requests) == 1


def test_requests_is_used_through_this_session_only() -> None:
    makers = {"Session", "session", "get", "post", "request", "put", "head"}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = node.value.id == requests.__name__ and node.attr in makers
                assert not used or file == PACKAGE / "checks" / "plain_session.py", f"{file}:{node.lineno}"
