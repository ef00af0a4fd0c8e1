"""How single variables are read: text in, a value or a ``ValidationError`` that says what to do out."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import limits
import phonenumbers
from environs import ValidationError

from otp_gateway.model import Window
from otp_gateway.settings.urls import addresses, base_url, domain, dsn, origins, redis_url
from otp_gateway.signing import PrivateKey, PublicKey, load_private, load_public

MIN_SECRET = 32
# As werkzeug writes them, and nothing that it would fail to read at the first login.
PASSWORD_HASH = re.compile(
    r"scrypt:[0-9]+:[0-9]+:[0-9]+\$[^$]+\$[0-9a-f]{128}"
    r"|pbkdf2:sha(256|384|512):[1-9][0-9]*\$[^$]+\$[0-9a-f]{64,128}"
)
MAX_REASON = 60
NEW_SECRET = """make one with: python -c "import secrets; print(secrets.token_urlsafe(48))" """.strip()
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The longest window and the most events in one: beyond, Redis refuses a key's end or grows without use.
MAX_WINDOW = 366 * 86_400
MAX_EVENTS = 1_000_000


def _windows(text: str) -> tuple[Window, ...]:
    try:
        items = limits.parse_many(text)
    except ValueError:
        raise ValidationError(f"{text!r} is not a list of limits such as '3/2minute;10/hour'") from None
    # Asked of the text, for `limits` makes 1 of a zero in "3/0minute".
    if any(int(number) == 0 for number in re.findall(r"[0-9]+", text)):
        raise ValidationError(f"{text!r} holds a zero: nobody could ever log in")
    if any(item.amount > MAX_EVENTS or item.get_expiry() > MAX_WINDOW for item in items):
        raise ValidationError(f"{text!r} is more than {MAX_EVENTS} times, or longer than a year")
    # Of two windows of one length the narrower counts.
    narrowest: dict[int, int] = {}
    for item in items:
        seconds = item.get_expiry()
        narrowest[seconds] = min(item.amount, narrowest.get(seconds, item.amount))
    return tuple(Window(limit, seconds) for seconds, limit in sorted(narrowest.items()))


def _regions(text: str) -> tuple[str, ...]:
    regions = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    unknown = [r for r in regions if r != "*" and r not in phonenumbers.SUPPORTED_REGIONS]
    if unknown or not regions:
        raise ValidationError(f"{', '.join(unknown) or 'empty'}: use ISO 3166 codes, or * for all")
    return regions


def _message(text: str) -> str:
    if text.count("{code}") != 1:
        raise ValidationError("the text must hold {code} exactly once")
    return text


def _probability(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValidationError(f"{text!r} is not a number such as 1e-4") from None
    if not value.is_finite() or not 0 < value <= 1:
        raise ValidationError("give a number above 0 and at most 1")
    return value


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValidationError("only printable ASCII without blanks")
    return text


def _log_level(text: str) -> str:
    level = text.upper()
    if level not in LOG_LEVELS:
        raise ValidationError(f"use one of {', '.join(LOG_LEVELS)}")
    return level


def _secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(len(secret) < MIN_SECRET for secret in found):
        raise ValidationError(f"each must have at least {MIN_SECRET} characters, as when it was SECRET_KEY")
    return found


def _pem(text: str) -> str:
    """The PEM itself: given as such (line ends may be written as backslash and n), or as a file's path."""
    if "-----BEGIN" in text:
        return text.replace("\\n", "\n")
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError):
        # The text may be a mangled key, so it is not repeated.
        raise ValidationError("is neither a PEM text nor the path of a readable PEM file") from None


def _password_hash(text: str) -> str:
    if text and not PASSWORD_HASH.fullmatch(text):
        raise ValidationError("is no password hash; make one with: flask otp hash-password")
    return text


def _private_key(text: str) -> PrivateKey | None:
    try:
        return load_private(_pem(text)) if text else None
    except ValueError as error:
        raise ValidationError(f"is no usable private key: {_reason(error)}") from None


def _public_keys(text: str) -> tuple[PublicKey, ...]:
    try:
        return tuple(load_public(_pem(text))) if text else ()
    except ValueError as error:
        raise ValidationError(f"is no usable public key: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    # Our own words are short; OpenSSL's are not for people.
    text = str(error)
    return text if len(text) < MAX_REASON else "not readable"


def long_enough(secret: str | None) -> None:
    """A validator for a secret that may be missing."""
    if secret is not None and len(secret) < MIN_SECRET:
        raise ValidationError(f"must have at least {MIN_SECRET} characters; {NEW_SECRET}")
    if secret is not None and ("," in secret or secret != secret.strip()):
        raise ValidationError(f"no comma and no outer blanks, for SECRET_KEY_FALLBACKS; {NEW_SECRET}")


PARSERS: dict[str, Callable[[str], Any]] = {
    "windows": _windows,
    "regions": _regions,
    "message": _message,
    "domain": domain,
    "redis_url": redis_url,
    "base_url": base_url,
    "probability": _probability,
    "printable": _printable,
    "level": _log_level,
    "addresses": addresses,
    "origins": origins,
    "password_hash": _password_hash,
    "private_key": _private_key,
    "public_keys": _public_keys,
    "dsn": dsn,
    "secrets": _secrets,
}
