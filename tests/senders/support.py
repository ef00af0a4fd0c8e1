"""Helpers of the senders' tests: a sender over real HTTP, and faults in turn."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed
from otp_gateway.messages import Message, Receipt
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders import BACKENDS, Sender
from otp_gateway.settings import Settings
from tests.conftest import make_settings
from tests.support.kavenegar import Call, Fault, Reply

PHONE = PhoneNumber("+989123456789")
CODE = "482915"
REFERENCE = 2**62 - 1
KEY = "4B5A6C7D8E9F-test-key"  # the emulator's
TEMPLATE = "login"
# A send may take this much longer than SMS_TIMEOUT: the scheduling of a busy machine.
GRACE = 1.0


def sender_to(url: str, **variables: object) -> Timed:
    """The sender that the settings make, for the provider at this URL."""
    defaults: dict[str, object] = {
        "KAVENEGAR_API_KEY": KEY,
        "KAVENEGAR_BASE_URL": url,
        "SMS_TIMEOUT": 2,
    }
    return sender_for(make_settings(**defaults | variables))


def sender_for(settings: Settings, observer: Observer = UNOBSERVED) -> Timed:
    """The sender of the first backend."""
    return Timed(BACKENDS[settings.sms_backend[0]](settings, observer), settings.sms_timeout)


class Timed:
    """A sender that has SMS_TIMEOUT for each message."""

    def __init__(self, sender: Sender, seconds: float) -> None:
        self._sender = sender
        self._seconds = seconds

    @property
    def configured(self) -> bool:
        return self._sender.configured

    def send(self, message: Message, deadline: float = 0.0) -> Receipt:
        receipt = self._sender.send(message, deadline or time.monotonic() + self._seconds)
        assert receipt is not None
        return receipt


def message_to(phone: PhoneNumber = PHONE, channel: Channel = "sms", **fields: Any) -> Message:
    """A message with the code of these tests."""
    return replace(Message(phone, CODE, channel, REFERENCE), **fields)


def send(sender: Timed, phone: PhoneNumber = PHONE, channel: Channel = "sms", **fields: Any) -> Receipt:
    return sender.send(message_to(phone, channel, **fields))


def failure(sender: Timed, phone: PhoneNumber = PHONE) -> SendFailed:
    """The error that the send raises."""
    with pytest.raises(SendFailed) as caught:
        send(sender, phone)
    error = caught.value
    assert error.definite is isinstance(error, SmsFailed) is not isinstance(error, SmsUnconfirmed)
    return error


@contextmanager
def bounded(timeout: float) -> Iterator[None]:
    """The block must end within ``timeout`` and a little more."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < timeout + GRACE


def in_turn(*faults: Fault) -> Fault:
    """The first request gets the first fault, the second the second. One more is an error of the test."""
    left = iter(faults)

    def fault(call: Call) -> None:
        next(left)(call)

    return fault


def raw(head: bytes, body: bytes = b"") -> Fault:
    """These bytes, and then the end of the connection."""
    return lambda call: call.write(head + body)


def reply(body: bytes, status: int = 200) -> Fault:
    """A reply with any body; the message is not delivered."""
    return lambda call: call.send(Reply(status, body))


class Flood:
    """A fault that sends up to 64 MiB after a head, and counts how much the client read."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        self._head = Reply(status, b"", "text/html", headers).head(None)
        self.megabytes = 0

    def __call__(self, call: Call) -> None:
        call.write(self._head)
        for _ in range(64):
            call.write(b"x" * 2**20)
            self.megabytes += 1


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that is reserved and refuses connections."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def silent(scheme: str = "http", *, full: bool = False) -> Iterator[str]:
    """A port on which only the kernel accepts, without a server. ``full``: its backlog is full."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if full else 64)
        waiting = [socket.socket() for _ in range(4 if full else 0)]
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for client in waiting:
                client.close()
