"""Limits the sends that a worker has in progress, so that a slow provider never uses all of its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from otp_gateway.errors import SmsBusy


class SendSlots:
    """At most three quarters of a worker's threads may wait for the provider.

    The last sixth of these is reserved for devices. So strangers cannot block users who have a device token.
    """

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self.set_threads(threads)

    def set_threads(self, threads: int) -> None:
        """Set the real number of the worker's threads."""
        self._limit = max(1, threads * 3 // 4)
        self._reserved = self._limit // 6

    @contextmanager
    def take(self, *, device: bool = False) -> Iterator[bool]:
        """Hold one slot during the block. The block gets True if the slot is reserved for devices.

        Raises ``SmsBusy`` at once if no slot is free. ``device``: the client has a device token. Only Redis
        knows whether this token is forgotten; then the client must not use a reserved slot.
        """
        with self._lock:
            reserved = self._taken >= self._limit - self._reserved
            if self._taken >= self._limit or (reserved and not device):
                raise SmsBusy
            self._taken += 1
        try:
            yield reserved
        finally:
            with self._lock:
                self._taken -= 1
