"""Collects events, and writes them in the background. No request waits for this."""

from __future__ import annotations

import atexit
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

from otp_gateway.codes import random_id
from otp_gateway.errors import StoreUnavailable
from otp_gateway.events import Batch, Event, SendEvent
from otp_gateway.log import get_logger

FLUSH_SECONDS = 2.0
# The most events that one worker keeps for one writer if Redis is unavailable. The oldest are dropped first.
MAX_EVENTS = 10_000
# Counts: the sum of all prices, and the messages that have a price.
COST, PRICED = "cost", "priced"
logger = get_logger("otp_gateway.recorder")


class Writer(Protocol):
    """Writes batches to Redis."""

    def write(self, batch: Batch) -> None:
        """Write the batch. If a batch with this id was written before, this has no effect.

        Raises ``StoreUnavailable``; then the recorder calls it again with the same batch.
        """
        ...


class Recorder:
    """Keeps the events of one worker, and gives them to each writer every two seconds.

    A writer that fails gets its events later. It does not delay the other writers' events, except by the time
    of its call.
    """

    def __init__(self, writers: Sequence[Writer] = ()) -> None:
        self._queues = [_Queue(writer) for writer in writers]
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        atexit.register(self.flush)

    def add(self, event: Event) -> None:
        """Record an event."""
        with self._lock:
            for queue in self._queues:
                queue.events.append(event)
                if isinstance(event, SendEvent) and event.cost:
                    queue.counts[COST] += event.cost
                    queue.counts[PRICED] += 1
            self._start()

    def count(self, name: str) -> None:
        """Count one more of ``name``: one of a bounded number of names."""
        with self._lock:
            for queue in self._queues:
                queue.counts[name] += 1
            self._start()

    def flush(self) -> None:
        """Write the events. If Redis does not accept them, they are kept for the next time."""
        with self._flushing:
            for queue in self._queues:
                queue.flush(self._lock)

    def _start(self) -> None:
        if self._thread is None:
            # The first event starts the thread. So it runs in the worker: threads do not survive a fork.
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:
                # One fault must not end the recording for the lifetime of the worker.
                logger.exception("the recording has failed")


class _Queue:
    """The events that one writer has not written yet."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.counts: Counter[str] = Counter()
        # Redis may have written it although no reply came. So it is repeated as it is.
        self._unsure: Batch | None = None

    def flush(self, lock: threading.Lock) -> None:
        """Write the batch of the last time, if it failed, and then the new one."""
        while batch := self._unsure or self._next(lock):
            self._unsure = batch
            try:
                self.writer.write(batch)
            except StoreUnavailable:
                return
            except BaseException:
                # A batch that the writer cannot write must not stop the batches after it.
                self._unsure = None
                raise
            self._unsure = None

    def _next(self, lock: threading.Lock) -> Batch | None:
        with lock:
            if not self.events and not self.counts:
                return None
            events, counts = tuple(self.events), dict(self.counts)
            self.events.clear()
            self.counts.clear()
        return Batch(random_id(), events, counts)
