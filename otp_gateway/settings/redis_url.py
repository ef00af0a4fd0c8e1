"""The parser of ``REDIS_URL``. A fault names the wrong part, but never repeats it: it can be a password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from marshmallow import ValidationError

TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
LOGIN = frozenset({"db", "username", "password"})
# The schemes, and the options that may follow the question mark. Timeouts, retries and decoding are not among
# them: the store decides about them.
OPTIONS = {
    "redis": LOGIN,
    "rediss": LOGIN | TLS_FILES | {"ssl_cert_reqs", "ssl_check_hostname"},
    "unix": LOGIN,
    "redis+sentinel": TLS_FILES | {"db", "ssl", "sentinel_username", "sentinel_password"},
    "redis+cluster": TLS_FILES | {"ssl"},
}
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")
WORDS = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": (*TRUE, *FALSE),
    "ssl": (*TRUE, *FALSE),
}
SEVERAL = ("redis+sentinel", "redis+cluster")
ENCODE = "write special characters of a user or password percent-encoded, such as %23 for #"


def redis_url(text: str) -> str:
    """The URL of one Redis, of Sentinel or of a cluster."""
    scheme = text.partition("://")[0]
    if scheme not in OPTIONS or not text.startswith(f"{scheme}://"):
        raise ValidationError(f"use one of {', '.join(f'{name}://' for name in OPTIONS)}")
    if "#" in text:
        raise ValidationError(f"it contains #, which ends a URL; {ENCODE}")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValidationError(f"the host is not readable; {ENCODE}") from None
    _check_hosts(parts)
    _check_path(parts)
    _check_options(parts)
    return text


def uses_tls(url: str | None) -> bool:
    """Whether connections to this Redis are encrypted."""
    parts = urlsplit(url or "")
    options = parse_qs(parts.query)
    return parts.scheme == "rediss" or options.get("ssl", [""])[-1].lower() in TRUE


def _check_hosts(parts: SplitResult) -> None:
    if parts.scheme == "unix":
        return
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and parts.scheme not in SEVERAL:
        raise ValidationError(f"give one host, or use {' or '.join(f'{name}://' for name in SEVERAL)}")
    for host in hosts:
        try:
            one = urlsplit(f"//{host}")
            sound, port = bool(one.hostname), one.port
        except ValueError:
            raise ValidationError(f"a port is no number from 1 to 65535; {ENCODE}") from None
        if port == 0:
            raise ValidationError("a port is no number from 1 to 65535")
        if not sound:
            raise ValidationError(f"a host is missing; {ENCODE}")


def _check_path(parts: SplitResult) -> None:
    path = parts.path.strip("/")
    if parts.scheme == "unix" and not path:
        raise ValidationError("give the path of the socket")
    if parts.scheme == "redis+sentinel" and not path:
        raise ValidationError("give the name of the primary after the hosts, as in /mymaster")
    if parts.scheme in ("redis", "rediss") and path and not path.isdecimal():
        raise ValidationError(f"the database after the host is no number; {ENCODE}")
    if parts.scheme == "redis+cluster" and path:
        raise ValidationError("a cluster has no database: leave out what follows the hosts")


def _check_options(parts: SplitResult) -> None:
    try:
        found = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValidationError("an option after the question mark has no value") from None
    options = {name: values[-1] for name, values in found.items()}
    allowed = OPTIONS[parts.scheme]
    if not options.keys() <= allowed:
        # A part of a password can look like the name of an option.
        raise ValidationError(f"an option is none of {', '.join(sorted(allowed))}; {ENCODE}")
    if not options.get("db", "0").isdecimal():
        raise ValidationError("the option db is no number")
    for name, words in WORDS.items():
        if name in options and options[name].lower() not in words:
            raise ValidationError(f"the option {name} must be one of {', '.join(words)}")
    for name in sorted(TLS_FILES & options.keys()):
        _check_file(options[name], f"the file of the option {name} is not readable")


def readable_file(text: str) -> str:
    """The path of a file that this process can read."""
    _check_file(text, "is no readable file")
    return text


def _check_file(path: str, fault: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError:
        raise ValidationError(fault) from None
