"""The search for phones by what a list or a log shows of a number: ``+98912***4567``, ``4567``, ``0912``."""

from __future__ import annotations

import re
from collections.abc import Callable

from otp_gateway.characters import DASHES, DIGITS, IGNORED, SPACES

# The last digits that a masked number shows, and the first characters.
TAIL, HEAD = 4, 6
# A longer text is a number, which has no place in a URL.
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
    """Whether a masked number fits the text; None if the text is neither a part of a number nor masked.

    ``country_code``: of numbers that begin with 0, such as ``98``.
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
    """What a masked number of this beginning can begin with, as far as it is shown."""
    if text.startswith("+"):
        found = [text]
    elif text.startswith("00"):
        found = [f"+{text[2:]}"]
    elif text.startswith("0"):
        found = [f"+{country_code}{text[1:]}"]
    else:
        found = [f"+{text}", f"+{country_code}{text}"] if text else ["+"]
    return tuple(head[:HEAD] for head in found)
