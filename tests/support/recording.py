"""All recorders that the tests have made. Events of one test must not get into the Redis of the next one."""

from __future__ import annotations

from weakref import WeakSet

from otp_gateway.recorder import Recorder, Writer

RECORDERS: WeakSet[Recorder] = WeakSet()
_make = Recorder.__init__


def _note(self: Recorder, writers: tuple[Writer, ...] = ()) -> None:
    _make(self, writers)
    RECORDERS.add(self)


Recorder.__init__ = _note  # type: ignore[method-assign,assignment]  # only the tests need to find them


def write() -> None:
    """Make every recorder write its events now."""
    for recorder in list(RECORDERS):
        recorder.flush()


def forget() -> None:
    """Drop the events that no recorder has written yet, after a write in progress has ended."""
    for recorder in list(RECORDERS):
        with recorder._flushing, recorder._lock:
            for queue in recorder._queues:
                queue.events.clear()
                queue.counts.clear()
                queue._unsure = None
