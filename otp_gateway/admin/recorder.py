"""Counts what requests come to, and writes it in the background: no request waits for it."""

from __future__ import annotations

import atexit
import threading
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response, g, request

from otp_gateway.errors import StoreUnavailable
from otp_gateway.store.usage import UsageStore

FLUSH_SECONDS = 2.0
# The routes that are counted, and what their success is called.
NAMES = {"usr.send_otp": "sent", "usr.verify_otp": "verified"}


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
        success = NAMES.get(request.endpoint or "")
        # A preflight (OPTIONS) of a route has its endpoint too, and sends nothing.
        if success and request.method == "POST":
            outcome = success if response.status_code == 200 else g.get("notes", {}).get("error", "unknown")
            with self._lock:
                self._counts[outcome if outcome == success else f"{success}:{outcome}"] += 1
                if self._thread is None:
                    # Started by the first request, in the worker: threads do not survive a fork.
                    self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
                    self._thread.start()
        return response

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            self.flush()
