"""Parsers.

Each turns the text of one variable into its value, or raises a ``ValidationError`` with advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import limits
import phonenumbers
from marshmallow import ValidationError, fields, validate

from otp_gateway.model import Window
from otp_gateway.settings.declaration import Parser
from otp_gateway.signing import PrivateKey, PublicKey, load_private, load_public
from otp_gateway.sms_backends import SMS_BACKENDS

MIN_SECRET = 32
# The hashes that werkzeug writes. Other hashes would fail at the first login.
PASSWORD_HASH = re.compile(
    r"scrypt:[0-9]+:[0-9]+:[0-9]+\$[^$]+\$[0-9a-f]{128}"
    r"|pbkdf2:sha(256|384|512):[1-9][0-9]*\$[^$]+\$[0-9a-f]{64,128}"
)
MAX_REASON = 60
NEW_SECRET = """make one with: python -c "import secrets; print(secrets.token_urlsafe(48))" """.strip()
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The longest window, and the most events in a window. With more, Redis refuses the TTL, or uses memory for
# nothing.
MAX_WINDOW = 366 * 86_400
MAX_EVENTS = 1_000_000
# Some platforms keep the quotes of a variable (docker --env-file); a shell and the .env file remove them.
QUOTES = ('"', "'")
# A line end is written as a backslash and n (a backslash and r may be before it). Two backslashes are a
# backslash.
ESCAPE = re.compile(r"\\(?:r\\n|n|\\)")
MORE_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}")
MORE_BRACES = re.compile(r"\{\s*\{code\}|\{code\}\s*\}")
APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}")
BRACES = re.compile(r"\{[^{}]*\}")

S = TypeVar("S", bound=str)


def integer(low: int, high: int) -> Parser[int]:
    """A whole number from ``low`` to ``high``."""
    return Parser(fields.Integer(validate=_range(low, high)).deserialize, f"{low} to {high}")


def number(low: float, high: float) -> Parser[float]:
    """A number from ``low`` to ``high``."""
    return Parser(fields.Float(validate=_range(low, high)).deserialize, f"{low} to {high}")


def _range(low: float, high: float) -> validate.Range:
    return validate.Range(min=low, max=high, error="must be from {min} to {max}")


boolean = Parser(fields.Boolean().deserialize, "true or false")


def choice(*values: S, any_case: bool = False) -> Callable[[str], S]:
    """One of the texts.

    ``any_case``: the texts are in upper case, and a user may write them in lower case.
    """
    known = {str(value): value for value in values}

    def parse(text: str) -> S:
        key = text.upper() if any_case else text
        if key not in known:
            raise ValidationError(f"use one of {', '.join(known)}")
        return known[key]

    return Parser(parse, ", ".join(known))


def app_hash(text: str) -> str:
    """The hash of an Android app."""
    if not APP_HASH.fullmatch(text):
        raise ValidationError("must be the 11 characters that Android derives from your app")
    return text


def backends(text: str) -> tuple[str, ...]:
    """Names of SMS backends in order of preference."""
    found = tuple(part.strip() for part in text.split(","))
    if any(name not in SMS_BACKENDS for name in found):
        raise ValidationError(f"use one of {', '.join(SMS_BACKENDS)}, or a list such as kavenegar,http")
    if len(set(found)) < len(found):
        raise ValidationError("has a backend twice")
    return found


def windows(text: str) -> tuple[Window, ...]:
    """Sliding windows in the notation of ``limits``, the shortest first."""
    try:
        items = limits.parse_many(text)
    except ValueError:
        raise ValidationError(f"{text!r} is not a list of limits such as '3/2minute;10/hour'") from None
    # The text is checked, because `limits` reads the zero in "3/0minute" as 1.
    if any(int(number) == 0 for number in re.findall(r"[0-9]+", text)):
        raise ValidationError(f"{text!r} holds a zero: no user could ever sign in")
    if any(item.amount > MAX_EVENTS or item.get_expiry() > MAX_WINDOW for item in items):
        raise ValidationError(f"{text!r} is more than {MAX_EVENTS} times, or longer than a year")
    # If two windows have the same length, the one with the smaller limit counts.
    narrowest: dict[int, int] = {}
    for item in items:
        seconds = item.get_expiry()
        narrowest[seconds] = min(item.amount, narrowest.get(seconds, item.amount))
    return tuple(Window(limit, seconds) for seconds, limit in sorted(narrowest.items()))


def budget(text: str) -> tuple[Window, ...]:
    """Windows. The text may be empty."""
    return windows(text) if text else ()


def regions(text: str) -> tuple[str, ...]:
    """Comma-separated ISO 3166 codes, or ``*``."""
    regions = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    unknown = [r for r in regions if r != "*" and r not in phonenumbers.SUPPORTED_REGIONS]
    if unknown or not regions:
        raise ValidationError(f"{', '.join(unknown) or 'empty'}: use ISO 3166 codes, or * for all")
    return regions


def message(text: str) -> str:
    """The text of an SMS with a place for the code. Escapes become line ends and backslashes."""
    whole = text.strip()
    if len(whole) > 1 and whole[0] == whole[-1] and whole[0] in QUOTES:
        raise ValidationError(f"is in quotes, and each SMS would show them: set it without the {whole[0]}")
    text = ESCAPE.sub(lambda found: "\n" if found[0].endswith("n") else "\\", text)
    text = re.sub(r"\r+\n", "\n", text)
    if MORE_BRACES.search(text):
        raise ValidationError("has more braces around {code}, and each SMS would show them: write {code}")
    other = BRACES.search(text.replace("{code}", ""))
    if other:
        raise ValidationError(f"holds {other[0][:MAX_REASON]!r}, but only {{code}} is replaced by a value")
    if text.count("{code}") != 1:
        raise ValidationError("the text must hold {code} exactly once")
    return text


def probability(text: str) -> Decimal:
    """A number above 0 and at most 1."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValidationError(f"{text!r} is not a number such as 1e-4") from None
    if not value.is_finite() or not 0 < value <= 1:
        raise ValidationError("give a number above 0 and at most 1")
    return value


def printable(text: str) -> str:
    """ASCII that fits into a header or a URL."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValidationError("only printable ASCII without blanks")
    return text


def absolute_path(text: str) -> Path:
    """A path that does not depend on the directory in which the gateway starts."""
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ValidationError("give an absolute path")
    return path


def secret(text: str) -> str:
    """A secret that can become a fallback later."""
    if len(text) < MIN_SECRET:
        raise ValidationError(f"must have at least {MIN_SECRET} characters; {NEW_SECRET}")
    if "," in text or text != text.strip():
        raise ValidationError(f"no comma and no outer blanks, for SECRET_KEY_FALLBACKS; {NEW_SECRET}")
    return text


def former_secrets(text: str) -> tuple[str, ...]:
    """Comma-separated secrets that once were SECRET_KEY."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(len(part) < MIN_SECRET for part in found):
        raise ValidationError(f"each must have at least {MIN_SECRET} characters, as when it was SECRET_KEY")
    return found


def _pem(text: str) -> str:
    """The PEM text. The variable has the text (with backslash and n for line ends) or the path of a file."""
    if "-----BEGIN" in text:
        return text.replace("\\n", "\n")
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError):
        # The text can be a damaged key, so the error does not repeat it.
        raise ValidationError("is neither a PEM text nor the path of a readable PEM file") from None


def password_hash(text: str) -> str:
    """A hash that the panel login can check."""
    if not PASSWORD_HASH.fullmatch(text):
        raise ValidationError("is no password hash; make one with: flask otp hash-password")
    return text


def private_key(text: str) -> PrivateKey:
    """A private key in PEM."""
    try:
        return load_private(_pem(text))
    except ValueError as error:
        raise ValidationError(f"is no usable private key: {_reason(error)}") from None


def public_keys(text: str) -> tuple[PublicKey, ...]:
    """Public keys in PEM."""
    try:
        return tuple(load_public(_pem(text))) if text else ()
    except ValueError as error:
        raise ValidationError(f"is no usable public key: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    # Our own texts are short. The texts of OpenSSL are not for people.
    text = str(error)
    return text if len(text) < MAX_REASON else "not readable"
