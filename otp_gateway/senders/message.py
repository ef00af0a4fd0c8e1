"""The text of an SMS, and its length in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from otp_gateway.messages import Message
from otp_gateway.settings import Settings

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts of messages: the default one, those by language, and what may follow as the last line.

    ``web_domain``: for WebOTP. ``app_hash``: for Android's SMS Retriever. Each must be last, so a message has
    only one of them.
    """

    default: str
    by_language: Mapping[str, str] = field(default_factory=dict)
    web_domain: str | None = None
    app_hash: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The operator's texts."""
        languages = {"fa": settings.otp_message_fa, "en": settings.otp_message_en}
        return cls(
            default=settings.otp_message,
            by_language={name: text for name, text in languages.items() if text},
            web_domain=settings.otp_web_domain,
            app_hash=settings.otp_app_hash,
        )

    def of(self, message: Message) -> str:
        """The whole text of a message."""
        template = self.by_language.get(message.language or "", self.default)
        return compose(template, message.code, self.web_domain, self.app_hash if message.android else None)


def compose(template: str, code: str, web_domain: str | None = None, app_hash: str | None = None) -> str:
    """The text with ``{code}`` filled in.

    With an app's hash, it is the last line. With a domain, the origin-bound last line follows (WICG
    "Origin-bound one-time codes delivered via SMS"): a browser offers the code only to pages of that origin.
    """
    text = template.replace("{code}", code)
    if app_hash:
        return f"{text}\n{app_hash}"
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
