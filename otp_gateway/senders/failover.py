"""Sends a message by the first backend that can send it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from otp_gateway.errors import SendFailed, SmsFailed, SmsNotConfigured
from otp_gateway.log import get_logger
from otp_gateway.messages import Message, Receipt
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.breaker import Attempt, Breaker
from otp_gateway.senders.protocol import Sender

# The share of the time left that a backend may use if another one follows.
SHARE = 0.5
logger = get_logger("otp_gateway.sms")


@dataclass(frozen=True, slots=True)
class Backend:
    """One entry of ``SMS_BACKEND``."""

    name: str
    sender: Sender
    breaker: Breaker


class Failover:
    """The backends in order of preference. They share the time of one send.

    The next backend sends the same code in two cases: the backend before it definitely sent no message, and
    the caller is not at fault; or it may have sent the message, and time is left.
    """

    def __init__(
        self, senders: Mapping[str, Sender], timeout: float, observer: Observer = UNOBSERVED
    ) -> None:
        """``timeout``: seconds of one send over all backends."""
        self._timeout = timeout
        self._observer = observer
        configured = [(name, sender) for name, sender in senders.items() if sender.configured]
        self._backends = [
            Backend(name, sender, Breaker(timeout if number == len(configured) else timeout * SHARE))
            for number, (name, sender) in enumerate(configured, 1)
        ]

    @property
    def configured(self) -> bool:
        """Whether at least one backend can send."""
        return bool(self._backends)

    @contextmanager
    def delivery(self) -> Iterator[Delivery]:
        """Make at most one send in the block, inside which ``send`` of the delivery is called.

        Raises ``SmsNotConfigured``. Raises ``SmsFailed`` with the reason ``SKIPPED`` if every backend has
        just timed out several times in a row.
        """
        if not self._backends:
            raise SmsNotConfigured
        with ExitStack() as stack:
            delivery = Delivery(self._backends, self._timeout, self._observer, stack)
            delivery.enter()
            yield delivery


class Delivery:
    """One send over the backends whose breakers allow it."""

    def __init__(self, backends: list[Backend], timeout: float, observer: Observer, stack: ExitStack) -> None:
        self._left = list(backends)
        self._timeout = timeout
        self._observer = observer
        self._stack = stack
        self._now: tuple[Backend, Attempt] | None = None

    def enter(self) -> None:
        """Choose the first of the remaining backends that may be called.

        Raises ``SmsFailed`` if there is none.
        """
        self._now = None
        skipped = SmsFailed("unreachable")
        while self._left:
            backend = self._left.pop(0)
            try:
                self._now = backend, self._stack.enter_context(backend.breaker.attempt())
            except SmsFailed as error:
                skipped = error
                skipped.backend = backend.name
            else:
                return
        raise skipped

    def send(self, message: Message) -> Receipt:
        """Deliver the code.

        Raises ``SmsUnconfirmed`` if a message may have gone out, otherwise ``SmsFailed``.
        """
        deadline = time.monotonic() + self._timeout
        unsure: SendFailed | None = None
        attempts = 0
        while self._now is not None:
            backend, attempt = self._now
            try:
                receipt = self._call(backend, attempt, message, deadline)
            except SendFailed as error:
                failure = error
                attempts += not error.definite
            else:
                return replace(receipt, attempts=attempts + 1)
            unsure = unsure if failure.definite else failure
            if not self._continues(failure, deadline):
                break
        result = unsure or failure
        result.attempts = attempts
        raise result

    def _call(self, backend: Backend, attempt: Attempt, message: Message, deadline: float) -> Receipt:
        now = time.monotonic()
        until = now + (deadline - now) * SHARE if self._left else deadline
        outcome = "failed"
        try:
            with attempt.call():
                receipt = backend.sender.send(message, until)
            outcome = "sent"
        except SendFailed as error:
            error.backend = error.backend or backend.name
            outcome = "failed" if error.definite else "unconfirmed"
            raise
        finally:
            self._observer.sms_attempt(backend.name, outcome)
        return receipt or Receipt(backend.name)

    def _continues(self, failure: SendFailed, deadline: float) -> bool:
        """Choose the next backend after a failure, if one may be called."""
        allowed = failure.fault != "caller" if failure.definite else time.monotonic() < deadline
        if not allowed or not self._left:
            return False
        try:
            self.enter()
        except SmsFailed:
            return False
        logger.warning(
            "an SMS backend failed, the next one sends",
            backend=failure.backend,
            reason=failure.label,
        )
        return True
