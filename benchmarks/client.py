"""A small HTTP client over kept connections. Its own processor time is in no figure."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 4
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """``seconds``: from the first byte that is sent to the last one that is received."""

    status: int
    body: bytes
    seconds: float


def post(path: str, body: object, *, address: str, **headers: str) -> bytes:
    """The bytes of one POST of a JSON body. ``address``: the client's, as a proxy would report it."""
    text = json.dumps(body).encode()
    fields = {"Host": "localhost", "X-Forwarded-For": address, "Content-Type": "application/json", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def get(path: str, *, address: str, **headers: str) -> bytes:
    """The bytes of one GET."""
    fields = {"Host": "localhost", "X-Forwarded-For": address, **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


def exchange(port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> list[Reply]:
    """Send all requests over a few connections at once. The replies are in the order of the requests."""
    replies: list[Reply | None] = [None] * len(requests)

    def run(first: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for index in range(first, len(requests), connections):
                replies[index] = _exchange(connection, requests[index])

    threads = [threading.Thread(target=run, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [reply for reply in replies if reply is not None]


def _exchange(connection: socket.socket, request: bytes) -> Reply:
    began = time.perf_counter()
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    length = int(found[1]) if found else 0
    while len(body) < length:
        body += _receive(connection)
    return Reply(int(head[9:12]), body, time.perf_counter() - began)


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(65_536)
    if not part:
        raise ConnectionError("the server closed the connection")
    return part
