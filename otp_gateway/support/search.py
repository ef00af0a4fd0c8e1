"""The search for phones by the visible part of a masked number: ``+98912***4567``, ``4567``, ``0912``."""

from __future__ import annotations

import re
from collections.abc import Callable

from otp_gateway.characters import DASHES, DIGITS, IGNORED, SPACES

# A masked number shows so many digits at its end, and so many characters at its beginning.
TAIL, HEAD = 4, 6
# A longer text is a full number, which must not be in a URL.
MOST_DIGITS = 7
PLAIN = str.maketrans(
    DIGITS | dict.fromkeys(DASHES, "") | dict.fromkeys(IGNORED, "") | dict.fromkeys(SPACES, "")
)
PART = re.compile(r"\+?[0-9]{1,7}")
MASKED = re.compile(r"(\+?[0-9]{0,7})[*•…xX]+([0-9]{1,4})")


def normal(text: str) -> str:
    """The text as ``matcher`` reads it: ASCII digits, without blanks and dashes."""
    return text.translate(PLAIN)


def matcher(text: str, country_code: str) -> Callable[[str], bool] | None:
    """A function that returns whether a masked number fits the text.

    None: the text is neither a part of a number nor a masked number. ``country_code``: the country code of
    numbers that begin with 0, such as ``98``.
    """
    text = normal(text)
    if found := MASKED.fullmatch(text):
        heads, tail = _heads(found[1], country_code), found[2]
        return lambda masked: masked.endswith(tail) and any(masked.startswith(head) for head in heads)
    if not PART.fullmatch(text):
        return None
    heads, tail = _heads(text, country_code), text
    if len(tail) > TAIL or not tail.isdigit():
        return lambda masked: any(masked.startswith(head) for head in heads)
    return lambda masked: masked.endswith(tail) or any(masked.startswith(head) for head in heads)


def _heads(text: str, country_code: str) -> tuple[str, ...]:
    """The visible beginnings of masked numbers that fit this beginning of a number."""
    if text.startswith("+"):
        found = [text]
    elif text.startswith("00"):
        found = [f"+{text[2:]}"]
    elif text.startswith("0"):
        found = [f"+{country_code}{text[1:]}"]
    else:
        found = [f"+{text}", f"+{country_code}{text}"] if text else ["+"]
    return tuple(head[:HEAD] for head in found)
