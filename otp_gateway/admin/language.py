"""The language of a request to the panel: the operator's choice, or else the browser's language."""

from __future__ import annotations

from flask import request, session

from otp_gateway.support.words import LANGUAGES, Language, Words, words_of

KNOWN: dict[str, Language] = {language: language for language in LANGUAGES}


def choose() -> None:
    """A before-request function that stores the language which the URL names."""
    chosen = request.args.get("lang", "")
    if chosen in KNOWN and session.get("language") != chosen:
        session["language"] = chosen


def language() -> Language:
    """The language of this request."""
    chosen = KNOWN.get(session.get("language", ""))
    return chosen or KNOWN[request.accept_languages.best_match(list(KNOWN), default="en")]


def other_language() -> Language:
    """The language to which the operator can change."""
    return "en" if language() == "fa" else "fa"


def words() -> Words:
    """The texts of this request's language."""
    return words_of(language())


def t(key: str, **values: object) -> str:
    """A text in this request's language."""
    return words()(key, **values)
