"""The recorder keeps what a writer could not write, each writer gets every event, and memory is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from otp_gateway.errors import StoreUnavailable
from otp_gateway.events import Batch, LoginEvent, SendEvent
from otp_gateway.recorder import MAX_EVENTS, Recorder
from tests.recording.support import a_login, a_send
from tests.support.redis_server import wait_until


class Notes:
    """A writer that records its events, and first does what ``before`` says."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.batches: list[Batch] = []
        self.before = before

    def write(self, batch: Batch) -> None:
        self.before()
        self.batches.append(batch)

    @property
    def ids(self) -> list[str]:
        """The events' ids in the order in which they came."""
        events = [event for batch in self.batches for event in batch.events]
        return [event.id for event in events if isinstance(event, SendEvent | LoginEvent)]


def unavailable() -> None:
    raise StoreUnavailable("timeout")


def stumble() -> None:
    raise ZeroDivisionError


def ready() -> None:
    """Write without a fault."""


def test_every_writer_gets_every_event_in_order() -> None:
    writers = Notes(), Notes()
    recorder = Recorder(writers)
    recorder.add(a_send("one"))
    recorder.add(a_login("two"))
    recorder.flush()
    recorder.add(a_send("three"))
    recorder.flush()
    recorder.flush()
    assert [writer.ids for writer in writers] == [["one", "two", "three"]] * 2
    assert [len(writer.batches) for writer in writers] == [2, 2]


def test_the_background_thread_writes_without_a_call() -> None:
    writer = Notes()
    recorder = Recorder([writer])
    recorder.add(a_send("one"))
    wait_until(lambda: writer.ids == ["one"], "the flush", timeout=6)


def test_a_batch_that_failed_is_repeated_under_its_id_before_the_next_one() -> None:
    failed: list[Batch] = []
    writer, other = Notes(), Notes()
    recorder = Recorder([writer, other])
    recorder.add(a_send("one"))
    recorder.count("sent")

    def lose() -> None:
        failed.append(recorder._queues[0]._unsure)  # type: ignore[arg-type]  # a batch is being written
        unavailable()

    writer.before = lose
    recorder.flush()
    recorder.add(a_send("two"))
    recorder.flush()
    writer.before = ready
    recorder.flush()
    assert failed[0] == failed[1] == writer.batches[0]
    assert (writer.ids, writer.batches[0].counts) == (["one", "two"], {"sent": 1})
    # Another writer's fault delays no write.
    assert other.ids == ["one", "two"]


def test_a_batch_that_cannot_be_written_does_not_stop_the_next_one() -> None:
    writer = Notes(stumble)
    recorder = Recorder([writer])
    recorder.add(a_send("one"))
    with pytest.raises(ZeroDivisionError):
        recorder.flush()
    writer.before = ready
    recorder.add(a_send("two"))
    recorder.flush()
    assert writer.ids == ["two"]


def test_without_redis_the_newest_events_are_kept_and_no_cost_is_lost() -> None:
    writer = Notes(unavailable)
    recorder = Recorder([writer])
    # On a busy machine this takes longer than the recorder's two seconds, and it must not flush meanwhile.
    with recorder._flushing:
        for n in range(MAX_EVENTS + 5):
            recorder.add(a_send(str(n), cost=120))
        assert len(recorder._queues[0].events) == MAX_EVENTS
    writer.before = ready
    recorder.flush()
    assert writer.ids == [str(n) for n in range(5, MAX_EVENTS + 5)]
    assert writer.batches[0].counts == {"cost": 120 * (MAX_EVENTS + 5), "priced": MAX_EVENTS + 5}


def test_a_writer_that_hangs_holds_no_request() -> None:
    held, done = threading.Event(), threading.Event()

    def hang() -> None:
        held.set()
        done.wait(10)

    writer = Notes(hang)
    recorder = Recorder([writer])
    recorder.add(a_send("one"))
    flush = threading.Thread(target=recorder.flush)
    flush.start()
    held.wait(10)
    adding = threading.Thread(target=lambda: recorder.add(a_send("two")))
    adding.start()
    adding.join(5)
    assert not adding.is_alive()
    assert not writer.batches
    done.set()
    flush.join(10)
    recorder.flush()
    assert writer.ids == ["one", "two"]
