"""Prints the message instead of sending it: for development."""

from __future__ import annotations

import sys
from typing import Self, TextIO

from otp_gateway.model import Channel, PhoneNumber, Receipt
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.message import compose
from otp_gateway.settings import Settings


class ConsoleSender:
    """Writes each message to a stream, with the phone masked."""

    configured = True

    def __init__(self, template: str, web_domain: str | None = None, stream: TextIO | None = None) -> None:
        """``stream`` defaults to standard output."""
        self._template = template
        self._web_domain = web_domain
        self._stream = stream

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender with the operator's message."""
        del observer  # there is no call to a provider to observe
        return cls(settings.otp_message, settings.otp_web_domain)

    def send(self, phone: PhoneNumber, code: str, channel: Channel, reference: int) -> Receipt:
        """Print the message."""
        del reference  # there is no provider that could use it
        text = compose(self._template, code, self._web_domain)
        kind = "SMS" if channel == "sms" else "Call"
        lines = "".join(f"  | {line}\n" for line in text.splitlines())
        stream = self._stream or sys.stdout
        # One write, so that messages of parallel requests do not mix.
        stream.write(f"\n  {kind} to {phone.masked}\n{lines}\n")
        stream.flush()
        return Receipt("console")
