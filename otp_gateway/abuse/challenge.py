"""Challenges: proof of work in the format of ALTCHA, version 2, with PBKDF2 and SHA-256.

The gateway stores no challenge. It signs the parameters with a key of the phone, and the client sends them
back together with the solution. Only a used solution leaves a key in Redis.

A challenge has a secret counter, drawn below ``attempts``. The client derives the keys of the counters 0, 1,
2 … until it finds the key that begins with ``keyPrefix``. So the work of a client is known, and never more
than ``attempts`` keys of ``COST`` iterations. To make a challenge, the gateway derives one key. To check a
solution, it derives none: it compares two HMACs.
"""

from __future__ import annotations

import binascii
import hmac
import json
import secrets
from base64 import b64decode
from typing import Any

import altcha

from otp_gateway.codes import Codes
from otp_gateway.errors import InvalidChallenge
from otp_gateway.model import Solution

ALGORITHM = "PBKDF2/SHA-256"
# The iterations of one key. With fewer iterations, a browser would use most of its time to call WebCrypto.
COST = 2_000
# The number of counters of a challenge, by step of difficulty. A client tries half of them on average.
STEPS = (1_000, 2_000, 4_000, 8_000)
HARDEST = len(STEPS) - 1
LIFETIME_MS = 120_000
# The most characters of base64. A solution has about 900. Clients can add members of their own.
MAX_PAYLOAD = 2_048


class Challenges:
    """Makes challenges for phones, and checks solutions. It does not call Redis."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def create(self, pid: str, difficulty_step: int, now_ms: int) -> dict[str, Any]:
        """Make a challenge for the phone: ALTCHA's JSON object.

        A step above the hardest means the hardest.
        """
        attempts = STEPS[min(difficulty_step, HARDEST)]
        signing_key, solution_key = self._codes.challenge_keys(pid)
        return altcha.create_challenge(
            ALGORITHM,
            COST,
            counter=secrets.randbelow(attempts),
            # The time is rounded down to whole seconds, so that the challenge is never valid for too long.
            expires_at=(now_ms + LIFETIME_MS) // 1000,
            data={"attempts": attempts},
            hmac_secret=signing_key,
            hmac_key_secret=solution_key,
        ).to_dict()

    def check(self, payload: str, pid: str, now_ms: int) -> Solution:
        """The solution that a client has sent, if it is right for this phone at this time of Redis's clock.

        Raises ``InvalidChallenge`` with a new challenge. It is as hard as the one in the payload. If the
        payload has no challenge of ours, it is the hardest, because nonsense must not buy an easy one.
        """
        # altcha.verify_solution() is not used: it compares the expiry with the clock of this machine.
        signing_key, solution_key = self._codes.challenge_keys(pid)
        try:
            parameters, signature, derived_key = _read(payload)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._invalid(pid, HARDEST, now_ms, "unreadable") from None
        # The signature is checked first. Before that, no parameter may have an effect.
        if not _signs(signing_key, parameters, signature):
            raise self._invalid(pid, HARDEST, now_ms, "unsigned")
        fields = json.loads(parameters)
        step = _step(fields["data"]["attempts"])
        solution = Solution(fields["nonce"], 1000 * fields["expiresAt"], step)
        if now_ms >= solution.expires_at_ms:
            raise self._invalid(pid, step, now_ms, "expired")
        if not _signs(solution_key, derived_key, fields["keySignature"]):
            raise self._invalid(pid, step, now_ms, "unsolved")
        return solution

    def unusable(self, solution: Solution, pid: str, now_ms: int, reason: str) -> InvalidChallenge:
        """The error of a right solution that Redis has refused, because it is ``used`` or has ``expired``."""
        return self._invalid(pid, solution.step, now_ms, reason)

    def _invalid(self, pid: str, step: int, now_ms: int, reason: str) -> InvalidChallenge:
        return InvalidChallenge(self.create(pid, step, now_ms), reason)


def _read(payload: str) -> tuple[bytes, str, bytes]:
    """The challenge's parameters as they were signed, their signature, and the key that the client found."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError("too long")
    document = json.loads(b64decode(payload, validate=True))
    challenge = document["challenge"]
    # Some clients add null for members that the challenge does not have.
    present = {name: value for name, value in challenge["parameters"].items() if value is not None}
    # ALTCHA signs JSON without blanks whose members are sorted.
    parameters = json.dumps(present, sort_keys=True, separators=(",", ":")).encode()
    return parameters, challenge["signature"], binascii.unhexlify(document["solution"]["derivedKey"])


def _signs(key: bytes, data: bytes, signature: object) -> bool:
    """Whether the signature, in hexadecimal digits, is that of the data."""
    if not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(hmac.digest(key, data, "sha256").hex(), signature)


def _step(attempts: int) -> int:
    """The step of a challenge. If another version of the gateway has made it: the nearest harder step."""
    return next((step for step, most in enumerate(STEPS) if most >= attempts), HARDEST)
