"""The interface that reports calls of Redis and of the SMS provider to the metrics."""

from __future__ import annotations

from typing import Protocol

from otp_gateway.errors import SendFailed


class Observer(Protocol):
    """Gets a call when an exchange ends. Many threads call the methods. A method must not raise an error."""

    def redis_call(self, script: str, seconds: float) -> None:
        """The call of a script has ended, with or without success. The time includes repeated attempts."""
        ...

    def redis_error(self, reason: str) -> None:
        """One attempt of a call has failed; ``reason`` as in ``StoreUnavailable``."""
        ...

    def provider_call(self, call: str, seconds: float) -> None:
        """One HTTP exchange with the provider (``sms/send``, …) has ended, with or without success."""
        ...

    def provider_error(self, call: str, error: SendFailed) -> None:
        """The provider did not confirm the message in an exchange."""
        ...

    def sms_attempt(self, backend: str, outcome: str) -> None:
        """A backend has tried to send a message: ``sent``, ``failed`` or ``unconfirmed``."""
        ...

    def delivery(self, prefix: str, status: str) -> None:
        """The provider has reported the delivery status of a sampled message."""
        ...

    def gate_decision(self, mode: str, decision: str) -> None:
        """The send gate has decided about a send (``free``, ``challenge``, ``solved``, ``paused``)."""
        ...


class Unobserved:
    """Ignores all calls: there are no metrics."""

    def redis_call(self, script: str, seconds: float) -> None:
        pass

    def redis_error(self, reason: str) -> None:
        pass

    def provider_call(self, call: str, seconds: float) -> None:
        pass

    def provider_error(self, call: str, error: SendFailed) -> None:
        pass

    def sms_attempt(self, backend: str, outcome: str) -> None:
        pass

    def delivery(self, prefix: str, status: str) -> None:
        pass

    def gate_decision(self, mode: str, decision: str) -> None:
        pass


UNOBSERVED = Unobserved()
