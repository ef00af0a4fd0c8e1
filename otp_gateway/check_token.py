"""A pass of five minutes, by which a gateway knows a question of its own operator's check."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, TimestampSigner

HEADER = "X-Otp-Check"
LIFE = timedelta(minutes=5)
WORD = "arrival"


def make(key: bytes) -> str:
    """A new pass; ``key`` is ``Codes.check_key``."""
    return _signer(key).sign(WORD).decode()


def is_good(key: bytes, text: str) -> bool:
    """Whether whoever made the pass has the key, and made it within five minutes of now.

    Before or after: the operator's clock may be ahead of the gateway's.
    """
    try:
        word, made = _signer(key).unsign(text, return_timestamp=True)
    except BadSignature:
        return False
    return word == WORD.encode() and abs(datetime.now(UTC) - made) <= LIFE


def _signer(key: bytes) -> TimestampSigner:
    return TimestampSigner(key, key_derivation="hmac", digest_method=hashlib.sha256)
