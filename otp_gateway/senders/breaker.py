"""A circuit breaker: if a provider times out several times in a row, it gets no send for some seconds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from otp_gateway.errors import SKIPPED, SendFailed, SmsFailed

FAILURES = 5
PAUSE_SECONDS = 5.0


class Breaker:
    """If it is closed, every send passes. If it is open, every send is refused. Then one send is the probe.

    Each worker has its own state. Workers share only Redis, and a shared state would need one more round
    trip.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``timeout``: seconds that a send may take.

        A failure after half of this time also counts as a timeout.
        """
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = -math.inf
        self._last_answer = -math.inf
        self._probing = False

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Make at most one send in the block, inside ``with attempt.call()``.

        Raises ``SmsFailed`` with the reason ``SKIPPED`` if the breaker is open. A block that does not call
        the provider (a refusal by Redis, an error of the gateway) does not change the breaker.
        """
        probe = self._enter()
        try:
            yield Attempt(self, probe=probe)
        finally:
            if probe:
                with self._lock:
                    self._probing = False

    def _enter(self) -> bool:
        """Whether this send is the probe."""
        with self._lock:
            if self._failures < FAILURES:
                return False
            if self._probing or self._clock() < self._open_until:
                raise SmsFailed(SKIPPED, fault="temporary")
            self._probing = True
            return True

    def answered(self) -> None:
        """The provider has answered: the breaker is closed."""
        with self._lock:
            self._failures = 0
            self._last_answer = self._clock()

    def failed(self, error: SendFailed, began: float, *, probe: bool) -> None:
        """A call that began at this time has failed. Only a timeout counts."""
        if not self._timed_out(error, self._clock() - began):
            self.answered()
            return
        with self._lock:
            # If the call began before the newest answer, it does not show the present state of the provider.
            if began < self._last_answer:
                return
            self._failures += 1
            # When the breaker opens, other calls are in progress. Their timeouts must not make the pause
            # longer.
            if probe or self._failures == FAILURES:
                self._open_until = self._clock() + PAUSE_SECONDS

    def _timed_out(self, error: SendFailed, seconds: float) -> bool:
        # If name resolution or the connection takes too long, the reason is "unreachable", and the call ends
        # before the timeout. A late answer with a code is still an answer.
        return error.reason == "timeout" or (error.provider_code is None and seconds >= self._timeout / 2)

    def now(self) -> float:
        """The breaker's clock."""
        return self._clock()


class Attempt:
    """One send that the breaker has let pass."""

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    @contextmanager
    def call(self) -> Iterator[None]:
        """Call the provider in the block. Its outcome and its duration count."""
        began = self._breaker.now()
        try:
            yield
        except SendFailed as error:
            self._breaker.failed(error, began, probe=self._probe)
            raise
        self._breaker.answered()
