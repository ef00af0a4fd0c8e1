"""A small HTTP proxy in front of the gateway, in each way that proxies treat X-Forwarded-For."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Self

from tests.support.servers import LoopbackServer

if TYPE_CHECKING:
    import socket

Headers = list[tuple[str, str]]
Habit = Callable[[Headers, str], Headers]
_XFF = "x-forwarded-for"


def append(headers: Headers, peer: str) -> Headers:
    """As nginx's $proxy_add_x_forwarded_for: the peer's address after the list that came."""
    came = [value for name, value in headers if name.lower() == _XFF]
    return [*_without(headers), ("X-Forwarded-For", ", ".join([*came, peer]))]


def append_line(headers: Headers, peer: str) -> Headers:
    """The peer in a header line of its own."""
    return [*headers, ("X-Forwarded-For", peer)]


def append_port(headers: Headers, peer: str) -> Headers:
    """As Azure's gateways: the peer's address with its port."""
    return append(headers, f"{peer}:50123")


def overwrite(headers: Headers, peer: str) -> Headers:
    """Only the peer's address: the list that came is lost."""
    return [*_without(headers), ("X-Forwarded-For", peer)]


def strip(headers: Headers, _: str) -> Headers:
    """No header."""
    return _without(headers)


def forwarded(headers: Headers, peer: str) -> Headers:
    """Only RFC 7239's header; X-Forwarded-For is forwarded as it came."""
    return [*headers, ("Forwarded", f"for={peer}")]


def silent(headers: Headers, _: str) -> Headers:
    """Adds no header and removes none."""
    return headers


class HttpProxy:
    """Forwards to 127.0.0.1 and ``upstream``; a context manager.

    ``keep_host``: whether Host is forwarded; ``source``: the address it calls from; ``hsts``: replaces the
    gateway's header, and an empty one removes it; ``tls``: it serves https; ``deaf``: for this path it closes
    the connection without an answer.
    """

    def __init__(
        self,
        upstream: int,
        habit: Habit = append,
        *,
        keep_host: bool = True,
        source: str = "127.0.0.1",
        hsts: str | None = None,
        tls: ssl.SSLContext | None = None,
        deaf: str = "",
    ) -> None:
        self.upstream = upstream
        self.habit = habit
        self.keep_host = keep_host
        self.source = source
        self.hsts = hsts
        self.deaf = deaf
        self._tls = tls
        self.paths: list[str] = []
        self._server = LoopbackServer(self._serve)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        if self._tls is None:
            _Handler(self, connection, address)
            return
        # The handshake ends if a client refuses the certificate or does not use TLS.
        with suppress(OSError), self._tls.wrap_socket(connection, server_side=True) as wrapped:
            _Handler(self, wrapped, address)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, proxy: HttpProxy, connection: socket.socket, address: Any) -> None:
        self._proxy = proxy
        super().__init__(connection, address, proxy._server)

    def do_GET(self) -> None:
        proxy = self._proxy
        proxy.paths.append(self.path)
        if self.path == proxy.deaf:
            return
        headers = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
        if not proxy.keep_host:
            headers = [(n, v) for n, v in headers if n.lower() != "host"] + [("Host", "upstream")]
        upstream = http.client.HTTPConnection(
            "127.0.0.1", proxy.upstream, timeout=10, source_address=(proxy.source, 0)
        )
        upstream.putrequest("GET", self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in proxy.habit(headers, self.client_address[0]):
            upstream.putheader(name, value)
        upstream.endheaders()
        reply = upstream.getresponse()
        body = reply.read()
        self.send_response_only(reply.status)
        left_out = {"connection", "transfer-encoding", "content-length"}
        if proxy.hsts is not None:
            left_out.add("strict-transport-security")
        for name, value in reply.getheaders():
            if name.lower() not in left_out:
                self.send_header(name, value)
        if proxy.hsts:
            self.send_header("Strict-Transport-Security", proxy.hsts)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def log_message(self, *_: Any, **__: Any) -> None:
        pass


def _without(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name.lower() != _XFF]
