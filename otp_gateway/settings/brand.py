"""The parsers of the variables that put the operator's brand on the login page."""

from __future__ import annotations

import re
from pathlib import Path

from marshmallow import ValidationError

from otp_gateway.settings.urls import urls

MAX_NAME = 40
MAX_LOGO = 64 * 1024
# The types of a logo by the end of its file's name, as browsers need them.
LOGO_TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".ico": "image/x-icon",
}
HEX_COLOR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})\Z")


def name(text: str) -> str:
    """A name that fits the page's heading."""
    text = text.strip()
    if not 1 <= len(text) <= MAX_NAME or not text.replace("\u200c", "").isprintable():
        raise ValidationError(f"give a name of 1 to {MAX_NAME} printable characters")
    return text


def logo(text: str) -> Path:
    """The path of an image that the gateway can read."""
    path = Path(text)
    if path.suffix.lower() not in LOGO_TYPES:
        raise ValidationError(f"use a file whose name ends in one of {', '.join(LOGO_TYPES)}")
    try:
        size = len(path.read_bytes())
    except OSError as error:
        raise ValidationError(f"the file cannot be read: {error.strerror}") from None
    if not 0 < size <= MAX_LOGO:
        raise ValidationError(f"the file has {size} bytes; a logo has 1 to {MAX_LOGO}")
    return path


def color(text: str) -> str:
    """``#rrggbb`` in lower case."""
    found = text.strip().lower()
    if not HEX_COLOR.match(found):
        raise ValidationError(f"{text!r} is not a colour such as #0a7d4f")
    return found if len(found) == len("#rrggbb") else "#" + "".join(digit * 2 for digit in found[1:])


def link(text: str) -> str:
    """One http(s) URL."""
    found = urls(text)
    if len(found) != 1:
        raise ValidationError("give one URL such as https://example.com/terms")
    return found[0]
