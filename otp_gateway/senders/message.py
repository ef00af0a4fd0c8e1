"""The text of an SMS, and its length in parts."""

from __future__ import annotations

from dataclasses import dataclass

# 3GPP TS 23.038, section 6.2.1: the default alphabet; and the extension table, whose characters take two
# places.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
# The places in a single part, and in each of several parts: these begin with a header.
GSM_PLACES = (160, 153)
UNICODE_PLACES = (70, 67)


def compose(template: str, code: str, web_domain: str | None = None) -> str:
    """The text with ``{code}`` filled in.

    With a domain, the origin-bound last line follows (WICG "Origin-bound one-time codes delivered via SMS").
    With this line, a browser offers the code only to pages of that origin.
    """
    text = template.replace("{code}", code)
    return f"{text}\n\n@{web_domain} #{code}" if web_domain else text


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a text as carriers count and charge it: ``used`` of the ``places`` of ``parts`` parts."""

    parts: int
    used: int
    places: int


def length(text: str) -> Length:
    """The length of a text as an SMS: in the GSM alphabet if it has all characters, in UTF-16 otherwise."""
    if outside_gsm(text):
        widths = [2 if c > "\uffff" else 1 for c in text]
        single, each = UNICODE_PLACES
    else:
        widths = [2 if c in GSM_EXTENSION else 1 for c in text]
        single, each = GSM_PLACES
    if sum(widths) <= single:
        return Length(1, sum(widths), single)
    parts, left, lost = 0, 0, 0
    for width in widths:
        if width > left:
            # A character of two places is not divided: the last place of a part can stay empty.
            lost += left
            parts, left = parts + 1, each
        left -= width
    return Length(parts, sum(widths) + lost, parts * each)


def outside_gsm(text: str) -> str:
    """The different characters of a text for which the GSM alphabet is not enough, in order."""
    return "".join(dict.fromkeys(c for c in text if c not in GSM and c not in GSM_EXTENSION))
