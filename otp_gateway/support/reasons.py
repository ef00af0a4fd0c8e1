"""The reasons of failed sends and verifies, in words."""

from __future__ import annotations

from otp_gateway.senders.kavenegar.codes import result_code
from otp_gateway.senders.kavenegar.sender import NAME as KAVENEGAR
from otp_gateway.store.outcomes import Outcome
from otp_gateway.support.words import Words


def reason_words(words: Words, reason: str, backend: str = "") -> str:
    """The words for a reason in records and counts: an error code, a limit, or a code of the provider."""
    if reason.isdigit():
        said = words("reason.provider", code=words.digits(reason))
        # The table of Kavenegar's codes has advice only in English.
        known = backend == KAVENEGAR and words.language == "en"
        return f"{said}: {result_code(int(reason)).advice}" if known else said
    if reason.startswith("entry_"):
        return words("reason.entry", state=words.digits(reason.removeprefix("entry_")))
    return words.known(f"reason.{reason}", reason)


def outcome_words(words: Words, outcome: Outcome) -> str:
    """The outcome of a send, with its reason."""
    said = words(f"outcome.{outcome.outcome}")
    return f"{said}: {reason_words(words, outcome.reason, outcome.backend)}" if outcome.reason else said
