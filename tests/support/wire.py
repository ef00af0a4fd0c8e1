"""HTTP as bytes on a socket, for requests that no HTTP client sends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.gateway import Gateway


@dataclass(frozen=True)
class Answer:
    """One response, as it was received."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(gateway: Gateway, data: bytes, *, close: bool = False) -> bytes:
    """Send the bytes, and no more with `close`; return everything that is received until the end."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def answers(received: bytes, *, bodiless: bool = False) -> Iterator[Answer]:
    """The responses in a row of bytes."""
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        length = 0 if bodiless else int(headers.get("content-length", 0))
        body, received = received[:length], received[length:]
        yield Answer(int(status.split()[1]), headers, body)


def ask(gateway: Gateway, data: bytes, *, close: bool = False, bodiless: bool = False) -> Answer:
    """The one response to the bytes."""
    [answer] = answers(exchange(gateway, data, close=close), bodiless=bodiless)
    return answer
