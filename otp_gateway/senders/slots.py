"""How many sends a worker may have in progress, so that a slow provider never holds all of its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from otp_gateway.errors import SmsBusy


class SendSlots:
    """At most three quarters of a worker's threads may wait for the provider."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self.set_threads(threads)

    def set_threads(self, threads: int) -> None:
        """How many threads the worker really has."""
        self._limit = max(1, threads * 3 // 4)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one slot during the block. Raises ``SmsBusy`` at once if none is free."""
        with self._lock:
            if self._taken >= self._limit:
                raise SmsBusy
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
