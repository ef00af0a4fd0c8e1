"""A circuit breaker: a provider that has timed out several times in a row gets no send for some seconds."""

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
    """Closed: every send passes. Open: every send is refused. Then one send is the probe that decides.

    The state is the worker's own. Workers share only Redis, and a provider that hangs is no reason for a
    further round trip.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``timeout``: seconds that a send may take. A failure that took half of it was a wait, too."""
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = -math.inf
        self._probing = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Make one send in the block. Raises ``SmsFailed`` with the reason ``SKIPPED`` while it is open.

        A block that ends without a result of the provider (a refusal by Redis, an error of ours) decides
        nothing.
        """
        probe = self._enter()
        began = self._clock()
        try:
            yield
        except SendFailed as error:
            self._decide(failed=self._timed_out(error, self._clock() - began))
            raise
        else:
            self._decide(failed=False)
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

    def _timed_out(self, error: SendFailed, seconds: float) -> bool:
        return error.reason == "timeout" or (
            error.reason == "unreachable" and seconds >= self._timeout / 2 - 0.1
        )

    def _decide(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES:
                self._open_until = self._clock() + PAUSE_SECONDS
