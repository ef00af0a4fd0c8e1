"""What the core tells of its dealings with Redis and the SMS provider: a port, for metrics to listen at."""

from __future__ import annotations

from typing import Protocol

from otp_gateway.errors import SendFailed


class Observer(Protocol):
    """Hears of every exchange as it ends. Methods are called from many threads, and must not raise."""

    def redis_call(self, script: str, seconds: float) -> None:
        """A script's call has ended, well or not, repeats included."""
        ...

    def redis_error(self, reason: str) -> None:
        """One attempt of a call has failed; ``reason`` as in ``StoreUnavailable``."""
        ...

    def provider_call(self, call: str, seconds: float) -> None:
        """One HTTP exchange with the provider (``sms/send``, …) has ended, well or not."""
        ...

    def provider_error(self, call: str, error: SendFailed) -> None:
        """An exchange brought no confirmation."""
        ...

    def sms_attempt(self, backend: str, outcome: str) -> None:
        """A backend has tried to send a message: ``sent``, ``failed`` or ``unconfirmed``."""
        ...

    def gate_decision(self, mode: str, decision: str) -> None:
        """The send gate has decided about a send (``free``, ``challenge``, ``solved``, ``paused``)."""
        ...


class Unobserved:
    """Nobody listens."""

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

    def gate_decision(self, mode: str, decision: str) -> None:
        pass


UNOBSERVED = Unobserved()
