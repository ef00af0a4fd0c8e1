"""Text that standard output can write."""

from __future__ import annotations

import sys


def writable(text: str) -> str:
    """The text with what standard output's encoding lacks escaped: a locale must not end a command."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
