"""Prints the message instead of sending it: for development."""

from __future__ import annotations

import sys
from typing import Self, TextIO

from otp_gateway.messages import Message, Receipt
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.message import Texts
from otp_gateway.settings import Settings


class ConsoleSender:
    """Writes each message to a stream, with the phone masked."""

    configured = True

    def __init__(self, texts: Texts, stream: TextIO | None = None) -> None:
        """``stream`` defaults to standard output."""
        self._texts = texts
        self._stream = stream

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender with the operator's texts."""
        del observer  # there is no call to a provider to observe
        return cls(Texts.from_settings(settings))

    def send(self, message: Message, deadline: float) -> Receipt:
        """Print the message."""
        del deadline  # there is no provider to wait for
        kind = "SMS" if message.channel == "sms" else "Call"
        lines = "".join(f"  | {line}\n" for line in self._texts.of(message).splitlines())
        stream = self._stream or sys.stdout
        # There is only one write, so that messages of parallel requests do not mix.
        stream.write(f"\n  {kind} to {message.phone.masked}\n{lines}\n")
        stream.flush()
        return Receipt("console")
