"""A pass of five minutes, by which a gateway knows a question of its own operator's check."""

from __future__ import annotations

import hashlib

from itsdangerous import BadSignature, TimestampSigner

HEADER = "X-Otp-Check"
SECONDS = 300
WORD = "arrival"


def make(key: bytes) -> str:
    """A new pass; ``key`` is ``Codes.check_key``."""
    return _signer(key).sign(WORD).decode()


def is_good(key: bytes, text: str) -> bool:
    """Whether whoever made the pass has the key, and made it within the last five minutes."""
    try:
        return _signer(key).unsign(text, max_age=SECONDS) == WORD.encode()
    except BadSignature:
        return False


def _signer(key: bytes) -> TimestampSigner:
    return TimestampSigner(key, key_derivation="hmac", digest_method=hashlib.sha256)
