"""The texts of one language, and how this language writes numbers and lengths of time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

Language = Literal["en", "fa"]
LANGUAGES: tuple[Language, ...] = ("en", "fa")
PERSIAN = str.maketrans("0123456789,%.", "۰۱۲۳۴۵۶۷۸۹٬٪٫")
# The units in which the length of a window is written, in seconds.
UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


class Words:
    """Texts by key, with numbers in the digits of the language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = {key: by_language[language] for key, by_language in _texts().items()}

    def __call__(self, key: str, **values: object) -> str:
        """The text. Whole numbers among the values are written as ``number`` writes them."""
        return self._texts[key].format(**{name: self._value(value) for name, value in values.items()})

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def known(self, key: str, otherwise: str) -> str:
        """The text, or ``otherwise`` if there is none with this key."""
        return self._texts.get(key, otherwise)

    def number(self, value: int) -> str:
        """The number, with its digits in groups of three."""
        return self.digits(f"{value:,}")

    def digits(self, text: str) -> str:
        """The text with the digits of the language."""
        return text.translate(PERSIAN) if self.language == "fa" else text

    def share(self, share: float) -> str:
        """A number from 0 to 1 as a percentage."""
        return self.digits(f"{100 * share:.0f}%")

    def left(self, seconds: float) -> str:
        """A remaining time: 4 min 05 s."""
        whole = int(seconds)
        days, hours, minutes = whole // 86_400, whole % 86_400 // 3600, whole % 3600 // 60
        if days:
            return self("left.days", days=days, hours=hours)
        if hours:
            return self("left.hours", hours=hours, minutes=self.digits(f"{minutes:02d}"))
        if minutes:
            return self("left.minutes", minutes=minutes, seconds=self.digits(f"{whole % 60:02d}"))
        return self("left.seconds", seconds=whole)

    def length(self, seconds: int) -> str:
        """The length of a window: 2 minutes, 1 hour."""
        name, unit = next((name, unit) for name, unit in UNITS if seconds % unit == 0)
        count = seconds // unit
        return self(f"length.{name}.one" if count == 1 else f"length.{name}", count=count)

    def _value(self, value: object) -> object:
        return self.number(value) if isinstance(value, int) else value


@cache
def words_of(language: Language) -> Words:
    """The texts of a language, read once."""
    return Words(language)


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    text = resources.files(__package__).joinpath("texts.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
