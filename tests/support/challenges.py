"""Challenges and their solutions, as any client of ALTCHA makes them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from unittest.mock import patch

import altcha

from otp_gateway.abuse.challenge import Challenges
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.conftest import SECRET_KEY


def solved(challenge: dict[str, Any]) -> dict[str, Any]:
    """The challenge together with its solution."""
    solution = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
    assert solution is not None
    return {"challenge": challenge, "solution": solution.to_dict()}


def encoded(document: object) -> str:
    """The document as it is in a request."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def easy_challenge(pid: str, now_ms: int, step: int = 0, secret: str = SECRET_KEY) -> dict[str, Any]:
    """A challenge as a gateway with this secret makes it.

    Its counter is a low one, so the solution is fast.
    """
    with patch("otp_gateway.abuse.challenge.secrets.randbelow", lambda _: 3):
        return Challenges(Codes(secret, 6)).create(pid, step, now_ms)


def easy_solution(e164: str, *, age_ms: int = 0, secret: str = SECRET_KEY) -> str:
    """A right solution for the phone, as it is in a request."""
    pid = Codes(secret, 6).pid(PhoneNumber(e164))
    return encoded(solved(easy_challenge(pid, int(time.time() * 1000) - age_ms, secret=secret)))
