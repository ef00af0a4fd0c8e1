"""Makes texts that standard output can write."""

from __future__ import annotations

import sys


def writable(text: str) -> str:
    """Escape the characters that the encoding of standard output does not have."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
