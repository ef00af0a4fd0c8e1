"""The signed check token, which is valid for five minutes.

It shows that a request comes from our own check.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, TimestampSigner

HEADER = "X-Otp-Check"
LIFE = timedelta(minutes=5)
WORD = "arrival"


def make(key: bytes) -> str:
    """Make a check token. ``key`` is ``Codes.check_key``."""
    return _signer(key).sign(WORD).decode()


def is_good(key: bytes, text: str) -> bool:
    """Whether the token is signed with this key, and was made at most five minutes before or after now.

    It can be made after now, because the operator's clock can be ahead of the gateway's clock.
    """
    try:
        word, made = _signer(key).unsign(text, return_timestamp=True)
    except BadSignature:
        return False
    return word == WORD.encode() and abs(datetime.now(UTC) - made) <= LIFE


def _signer(key: bytes) -> TimestampSigner:
    return TimestampSigner(key, key_derivation="hmac", digest_method=hashlib.sha256)
