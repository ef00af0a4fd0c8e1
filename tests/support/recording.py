"""Every recorder that the tests have made: the events of one test must not get into the next one's Redis."""

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
    """Let every recorder write now what it has."""
    for recorder in list(RECORDERS):
        recorder.flush()


def forget() -> None:
    """Drop what no recorder has written yet, after a write in progress has ended."""
    for recorder in list(RECORDERS):
        with recorder._flushing, recorder._lock:
            for queue in recorder._queues:
                queue.events.clear()
                queue.counts.clear()
                queue._unsure = None
