"""One set of values over all gunicorn workers: files that each worker writes and any of them can sum."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


def free_slot(taken: Iterable[int]) -> int:
    """The lowest number that no living worker has."""
    used = set(taken)
    return next(slot for slot in range(len(used) + 1) if slot not in used)


def join(directory: str, slot: int) -> None:
    """Keep this process's values in files of ``directory``; call it before the metrics are made.

    ``slot`` is a number that no other living process has there. A later process of the same slot counts on
    where the former ended: so counters never fall, and however often workers are replaced, files stay few.
    """
    os.environ[DIRECTORY] = directory
    # Whoever tidies the machine's temporary files may have taken it for forgotten.
    Path(directory).mkdir(mode=0o700, exist_ok=True)
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]  # as shipped


def leave(directory: str, slot: int) -> None:
    """The slot's process has ended: what it was doing at that moment is no longer being done."""
    mark_process_dead(slot, directory)  # type: ignore[no-untyped-call]  # as shipped


def registry() -> CollectorRegistry | None:
    """The values of all workers, summed as they are collected; None where this process shares none."""
    directory = os.environ.get(DIRECTORY, "")
    if not getattr(values.ValueClass, "_multiprocess", False) or not Path(directory).is_dir():
        return None
    found = CollectorRegistry()
    found.register(_Files(directory))
    return found


class _Files(Collector):
    """The workers' files, summed."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._directory.glob("*.db") if _has_begun(file)]
        return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]  # as shipped


def _has_begun(file: Path) -> bool:
    """Whether there is anything to read: a starting worker makes its file before it gives it a size."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        # The gauges of a worker that has just ended.
        return False
