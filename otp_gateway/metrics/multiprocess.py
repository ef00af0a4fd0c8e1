"""One set of values for all gunicorn workers: each worker writes files, and any of them can sum the files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from otp_gateway.metrics.folder import Folder
from otp_gateway.metrics.shared_file import SharedFiles

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
# How often a scrape begins again because a cleanup removed a file that it was about to read.
ATTEMPTS = 3


class _Process:
    """Whether this process is a worker, and the files in which it shares its values."""

    is_worker = False
    files: SharedFiles | None = None
    folder: Folder | None = None


_process = _Process()


def free_slot(taken: Iterable[int]) -> int:
    """The lowest number that no running worker has."""
    used = set(taken)
    return next(slot for slot in range(len(used) + 1) if slot not in used)


def join(folder: Folder, slot: int) -> None:
    """Keep this process's values in files of ``folder``; call it before the metrics are made.

    ``slot`` is a number that no other running process has there. A later process of the same slot continues
    the counts of the former process. So counters never fall, and the number of files does not grow.
    """
    _process.is_worker = True
    _process.folder = folder
    if folder.path is None:
        # Another program may have set the variable.
        os.environ.pop(DIRECTORY, None)
        values.ValueClass = values.MutexValue
        return
    os.environ[DIRECTORY] = str(folder.path)
    _process.files = SharedFiles(folder, slot)
    # MultiProcessValue makes its files with the class of this name. The files of the library's own class are
    # sparse: see shared_file.py.
    values.MmapedDict = _process.files  # type: ignore[assignment,attr-defined]  # see above
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]  # the library has no types


def leave(folder: Folder, slot: int) -> None:
    """Note that the slot's process has ended. Its requests are no longer in progress."""
    if folder.path is None:
        return
    # A cleanup can remove the same files, or the file system can be read-only now. This must not end the
    # master.
    with suppress(OSError):
        mark_process_dead(slot, str(folder.path))  # type: ignore[no-untyped-call]  # the library has no types
    with suppress(OSError):
        (folder.path / f"unshared_{slot}").unlink()


def registry() -> CollectorRegistry | None:
    """The values of all workers, summed when they are collected; None if this process shares none."""
    files, folder = _process.files, _process.folder
    if files is None or folder is None or folder.path is None or not files.complete:
        return None
    found = CollectorRegistry()
    found.register(_Files(folder.path))
    return found


def is_shared() -> bool:
    """Whether a scrape shows all values: all workers share theirs, or there are no workers."""
    if not _process.is_worker:
        return True
    files, folder = _process.files, _process.folder
    if files is None or folder is None or folder.path is None or files.in_memory:
        return False
    return not any(folder.path.glob("unshared_*"))


class _Files(Collector):
    """The workers' files, summed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        for _ in range(ATTEMPTS):
            files = [str(file) for file in self._directory.glob("*.db") if _has_begun(file)]
            with suppress(FileNotFoundError):
                return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]  # the library has no types
        return []


def _has_begun(file: Path) -> bool:
    """Whether there are values to read. A worker makes its file before it gives the file a size."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        # The gauges of a worker that has just ended.
        return False
