"""The gateway's public URL, and short requests to it, limited in time and size."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import requests

from otp_gateway.checks.plain_session import PlainSession

MAX_BODY = 64 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Site:
    """A public URL, as browsers write it. Its user and password are sent, but never shown."""

    def __init__(self, text: str) -> None:
        """Raises ``ValueError`` if the text is not a URL with http:// or https://."""
        parts = urlsplit(text.strip())
        self.scheme = parts.scheme
        if self.scheme not in DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("no address")
        self.port = parts.port or DEFAULT_PORTS[self.scheme]
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        # The host in ASCII, as in the header Host. This raises an error if it cannot be a host name.
        prepared = requests.models.PreparedRequest()
        prepared.prepare_url(f"http://{_bracketed(parts.hostname)}/", None)
        self.host = urlsplit(str(prepared.url)).hostname or ""
        self.host.encode("idna")
        self.path = parts.path.rstrip("/")

    @property
    def netloc(self) -> str:
        """Host and port, in the form of the header Host."""
        host = _bracketed(self.host)
        return host if self.on_usual_port else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without a slash at the end, and without user and password."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def on_usual_port(self) -> bool:
        """Whether browsers omit the port."""
        return self.port == DEFAULT_PORTS[self.scheme]

    @property
    def is_here(self) -> bool:
        """Whether the host is a loopback address."""
        return is_loopback(self.host)

    def get(self, path: str, headers: Mapping[str, str], seconds: float) -> Reply:
        """The reply to a GET of ``path``. Follows no redirect. Raises ``OSError``, as requests does."""
        return self._get(self.scheme, self.port, path, headers, seconds)

    def get_without_tls(self, path: str, seconds: float) -> Reply:
        """The reply to a GET over http:// and its default port."""
        return self._get("http", DEFAULT_PORTS["http"], path, {}, seconds)

    def _get(self, scheme: str, port: int, path: str, headers: Mapping[str, str], seconds: float) -> Reply:
        url = f"{scheme}://{_bracketed(self.host)}:{port}{self.path}{path}"
        return _get(url, headers, seconds, self._auth)

    def own_addresses(self) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """The source addresses of this machine's connections to the site, before any address translation."""
        found = set()
        with suppress(OSError, ValueError):
            for family, _, _, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM):
                # A datagram socket that connects sends no packet.
                with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                    probe.connect(address)
                    found.add(ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]))
        return found


def is_loopback(host: str) -> bool:
    """Whether the host is localhost or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _get(url: str, headers: Mapping[str, str], seconds: float, auth: tuple[str, str] | None) -> Reply:
    deadline = time.monotonic() + seconds
    # The environment's proxy is not used: it would add a hop, which would look like a proxy of the gateway.
    with PlainSession() as session:
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        with session.get(url, headers=headers, auth=auth, timeout=seconds, stream=True) as response:
            body = b""
            for chunk in response.iter_content(8192):
                body += chunk
                if len(body) > MAX_BODY:
                    break
                if time.monotonic() > deadline:
                    raise requests.Timeout
            return Reply(response.status_code, response.headers, body[:MAX_BODY])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
