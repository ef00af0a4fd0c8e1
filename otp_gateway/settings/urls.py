"""How URLs and host names are read. An error repeats no URL that may hold a password."""

from __future__ import annotations

import importlib.util
import re
from urllib.parse import parse_qs, urlsplit

from marshmallow import ValidationError

TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
LOGIN = frozenset({"db", "username", "password"})
# The schemes of REDIS_URL, and what may follow the question mark. No time-outs, no retries, no decoding:
# those are the store's own.
URL_OPTIONS = {
    "redis": LOGIN,
    "rediss": LOGIN | TLS_FILES | {"ssl_cert_reqs", "ssl_check_hostname"},
    "unix": LOGIN,
    "redis+sentinel": TLS_FILES | {"db", "ssl", "sentinel_username", "sentinel_password"},
    "redis+cluster": TLS_FILES | {"ssl"},
}
HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?)+\Z", re.IGNORECASE)


def domain(text: str) -> str:
    """A host name without scheme, port or path."""
    if not HOSTNAME.match(text):
        raise ValidationError("give a bare domain such as example.com, without scheme, port or path")
    return text


def redis_url(text: str) -> str:
    """The URL of one Redis, of Sentinel or of a cluster."""
    if not _is_redis_url(text):
        schemes = ", ".join(f"{scheme}://" for scheme in URL_OPTIONS)
        # The value itself may hold a password, so it is not repeated.
        raise ValidationError(f"use {schemes}, with host, port, db and options in order")
    return text


def _is_redis_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        path = parts.path.strip("/")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        int(path if parts.scheme in ("redis", "rediss") and path else options.get("db", "0"))
    except ValueError:
        return False
    allowed = URL_OPTIONS.get(parts.scheme)
    # An unescaped # in a password would cut the rest off.
    if allowed is None or not text.startswith(parts.scheme) or "#" in text or not options.keys() <= allowed:
        return False
    if parts.scheme == "unix":
        return bool(path)
    several = parts.scheme in ("redis+sentinel", "redis+cluster")
    named = parts.scheme != "redis+sentinel" or bool(path)
    return named and (several or len(hosts) == 1) and all(_is_sound_host(host) for host in hosts)


def _is_sound_host(text: str) -> bool:
    try:
        return _is_host(text)
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    """``host`` or ``host:port``. Raises ``ValueError`` for a port that is none."""
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
    """Comma-separated http(s) URLs; ``bare``: origins, with nothing behind host and port."""
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
