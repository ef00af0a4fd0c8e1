"""Counts what requests come to, and writes it in the background: no request waits for it."""

from __future__ import annotations

import atexit
import threading
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response

from otp_gateway.api import context
from otp_gateway.api.outcomes import SENDS, VERIFIES
from otp_gateway.errors import StoreUnavailable
from otp_gateway.store.usage import UsageStore

FLUSH_SECONDS = 2.0


class Recorder:
    """Adds outcomes up in the process, and flushes them every two seconds."""

    def __init__(self, store: UsageStore, take_cost: Callable[[], int]) -> None:
        """``take_cost``: what the provider has charged since it was last asked, in Rial."""
        self._store = store
        self._take_cost = take_cost
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def install(self, app: Flask) -> None:
        """Count the replies of the OTP routes."""
        app.after_request(self._count)
        atexit.register(self.flush)

    def flush(self) -> None:
        """Write what has come together; what Redis does not take is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        cost = self._take_cost()
        if cost:
            counts["cost"] += cost
        if not counts:
            return
        try:
            self._store.add(counts)
        except StoreUnavailable:
            with self._lock:
                self._counts.update(counts)

    def _count(self, response: Response) -> Response:
        outcomes = context.current().outcomes
        if outcomes in (SENDS, VERIFIES):
            outcome = outcomes.name(response)
            with self._lock:
                self._counts[outcome if outcome == outcomes.success else f"{outcomes.success}:{outcome}"] += 1
                if self._thread is None:
                    # Started by the first request, in the worker: threads do not survive a fork.
                    self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
                    self._thread.start()
        return response

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            self.flush()
