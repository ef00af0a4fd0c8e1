"""Parsers of URLs and host names. An error does not repeat a URL that can hold a password."""

from __future__ import annotations

import importlib.util
import re
from urllib.parse import urlsplit

from marshmallow import ValidationError

HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?)+\Z", re.IGNORECASE)


def domain(text: str) -> str:
    """A host name without scheme, port or path."""
    if not HOSTNAME.match(text):
        raise ValidationError("give a bare domain such as example.com, without scheme, port or path")
    return text


def _is_host(text: str) -> bool:
    """``host`` or ``host:port``. Raises ``ValueError`` for an invalid port."""
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0


def base_url(text: str) -> str:
    """An http(s) URL that paths are appended to."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and _is_host(parts.netloc.rpartition("@")[2])
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise ValidationError("give an http:// or https:// address without query")
    return text.rstrip("/")


def origins(text: str) -> tuple[str, ...]:
    """Comma-separated origins."""
    return urls(text, bare=True)


def urls(text: str, *, bare: bool = False) -> tuple[str, ...]:
    """Comma-separated http(s) URLs. ``bare``: origins, which end after host and port."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for url in found:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and _is_host(parts.netloc)
        except ValueError:
            sound = False
        if not sound or any(c in parts.netloc for c in "@*"):
            raise ValidationError(f"{url!r} is no address such as https://app.example.com/home")
        if bare and url != f"{parts.scheme}://{parts.netloc}":
            raise ValidationError(f"{url!r} is no origin such as https://app.example.com")
    return found


def dsn(text: str) -> str:
    """A Sentry DSN; it needs the SDK."""
    try:
        parts = urlsplit(text)
        sound = (
            parts.scheme in ("http", "https")
            and bool(parts.username)
            and _is_host(parts.netloc.rpartition("@")[2])
        )
    except ValueError:
        sound = False
    if not sound or not parts.path.rpartition("/")[2].isdecimal():
        raise ValidationError("is no DSN such as https://key@sentry.example.com/1")
    if importlib.util.find_spec("sentry_sdk") is None:
        raise ValidationError("needs the SDK, which is optional: pip install -r requirements-sentry.txt")
    return text
