"""The files of a worker's values have all the space that is mapped, and a full disk costs no request."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

from otp_gateway import log
from otp_gateway.metrics import multiprocess, shared_file
from otp_gateway.metrics.folder import Folder

PAGE = shared_file.PAGE


class Worker:
    """This process as a worker: a counter that takes any label, and a clock that a test can set."""

    def __init__(self, folder: Folder) -> None:
        assert folder.path is not None
        self.path = folder.path
        self.registry = CollectorRegistry()
        self.counter = Counter("met", "Met", ["name"], registry=self.registry)

    def count(self, *names: str) -> None:
        for name in names:
            self.counter.labels(name).inc()

    def shown(self) -> dict[str, float]:
        """The counts in the files: what another worker shows of them."""
        samples = MmapedDict.read_all_values_from_file(str(self.path / "counter_0.db"))  # type: ignore[no-untyped-call]  # as shipped
        return {key.split('"name": "')[1].split('"')[0]: value for key, value, _, _ in samples}

    def wait(self) -> None:
        """Let the interval between two checks of the files pass."""
        files = multiprocess._process.files
        assert files is not None
        files._next_look = 0


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, os.geteuid(), os.getegid())
    folder.prepare()
    return folder


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch, folder: Folder) -> None:
    """Make this process a worker, until the test ends."""
    log.configure("INFO")
    monkeypatch.setattr(multiprocess, "_process", multiprocess._Process())
    monkeypatch.setattr(values, "MmapedDict", MmapedDict)
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    monkeypatch.setenv(multiprocess.DIRECTORY, "")
    multiprocess.join(folder, 0)


@pytest.fixture
def worker(join: None, folder: Folder) -> Worker:  # noqa: ARG001  # it makes the process a worker
    return Worker(folder)


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """For this process, no file can grow beyond ``size``, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(number: int) -> list[str]:
    return [f"name-{n:04}" for n in range(number)]


def test_every_file_that_the_library_makes_is_allocated_in_full_also_when_it_has_grown(
    worker: Worker,
) -> None:
    Gauge("now", "Now", registry=worker.registry, multiprocess_mode="livesum").set(1)
    histogram = Histogram("took", "Took", ["name"], registry=worker.registry)
    for name in names(100):
        worker.count(name)
        histogram.labels(name).observe(1)

    sizes = {file.name: file.stat() for file in worker.path.iterdir()}

    assert set(sizes) == {"counter_0.db", "gauge_livesum_0.db", "histogram_0.db"}
    assert sizes["gauge_livesum_0.db"].st_size == PAGE
    assert sizes["counter_0.db"].st_size > PAGE
    assert sizes["histogram_0.db"].st_size > 16 * PAGE
    for name, found in sizes.items():
        assert found.st_blocks * 512 >= found.st_size, name
    assert worker.shown() == dict.fromkeys(names(100), 1)


def test_no_file_is_longer_than_what_is_mapped_and_reserved(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only our code makes the files longer, with any version of the library."""
    reserved: dict[int, int] = {}
    allocate = shared_file._allocate

    def note(descriptor: int, size: int) -> None:
        allocate(descriptor, size)
        reserved[os.fstat(descriptor).st_ino] = size

    monkeypatch.setattr(shared_file, "_allocate", note)
    for name in names(300):
        worker.count(name)
        found = (worker.path / "counter_0.db").stat()
        assert found.st_size == reserved.get(found.st_ino, PAGE)


def test_values_that_find_no_space_are_kept_in_memory_and_written_when_there_is_space(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.count(*names(5))
    assert multiprocess.is_shared()
    with caplog.at_level(logging.INFO), longest_file(PAGE):
        worker.count(*names(100))
        worker.wait()
        worker.count(*names(100))

        [warning] = caplog.records
        assert "only in its memory" in warning.getMessage()
        assert "File too large" in warning.getMessage()
        # Values that have a place are counted there.
        assert worker.shown()["name-0000"] == 3
        assert 5 < len(worker.shown()) < 80
        assert not multiprocess.is_shared()
        # Another worker's scrape shows it too.
        assert (worker.path / "unshared_0").exists()
        caplog.clear()
        worker.wait()
    worker.count("name-0000")

    [line] = caplog.records
    assert "shared again" in line.getMessage()
    assert multiprocess.is_shared()
    assert not (worker.path / "unshared_0").exists()
    expected = dict.fromkeys(names(5), 3.0) | dict.fromkeys(names(100)[5:], 2.0) | {"name-0000": 4.0}
    assert worker.shown() == expected


@pytest.mark.usefixtures("join")
def test_a_worker_that_can_make_no_file_serves_its_own_values(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), longest_file(0):
        worker = Worker(folder)
        worker.count("a", "b", "a")
        worker.wait()
        worker.count("b")
        assert multiprocess.registry() is None
        assert worker.registry.get_sample_value("met_total", {"name": "a"}) == 2
        assert worker.registry.get_sample_value("met_total", {"name": "b"}) == 2
        assert len(caplog.records) == 1
        worker.wait()
    worker.count("a")
    assert multiprocess.registry() is not None
    assert worker.shown() == {"a": 3, "b": 2}


def test_the_next_worker_of_a_slot_continues_the_counts(worker: Worker, folder: Folder) -> None:
    worker.count(*names(100))
    multiprocess.join(folder, 0)
    successor = Worker(folder)
    successor.count(*names(100))
    assert successor.shown() == dict.fromkeys(names(100), 2)


def test_a_removed_folder_is_made_again_with_all_values(worker: Worker) -> None:
    worker.count(*names(100))
    for file in worker.path.iterdir():
        file.unlink()
    worker.path.rmdir()
    worker.count("name-0007")
    assert not worker.path.exists()
    assert multiprocess.registry() is None

    worker.wait()
    worker.count("name-0007")

    assert worker.shown() == dict.fromkeys(names(100), 1) | {"name-0007": 3}
    assert multiprocess.registry() is not None
    assert worker.path.stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_place_of_a_file_is_not_followed(
    folder: Folder,
    tmp_path: Path,
    join: None,  # noqa: ARG001  # it makes the process a worker
) -> None:
    assert folder.path is not None
    other = tmp_path / "other"
    other.write_text("text")
    (folder.path / "counter_0.db").symlink_to(other)
    Worker(folder).count("a")
    assert other.read_text() == "text"
    assert not multiprocess.is_shared()


def test_a_system_without_fallocate_reserves_the_space_with_zeros(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    worker.count(*names(300))
    found = (worker.path / "counter_0.db").stat()
    assert found.st_blocks * 512 >= found.st_size > PAGE
    assert worker.shown() == dict.fromkeys(names(300), 1)
