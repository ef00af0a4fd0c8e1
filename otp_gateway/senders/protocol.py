"""The interface of a sender."""

from __future__ import annotations

from typing import Protocol

from otp_gateway.messages import Message, Receipt


class Sender(Protocol):
    """Delivers codes."""

    @property
    def configured(self) -> bool:
        """Whether a send can work at all."""
        ...

    def send(self, message: Message, deadline: float) -> Receipt | None:
        """Deliver the code by ``deadline`` (``time.monotonic()`` seconds).

        The receipt is None if the sender has no data about the message. Raises ``SmsFailed`` if the message
        was definitely not sent, ``SmsUnconfirmed`` if it may have been.
        """
        ...
