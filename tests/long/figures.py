"""The resources of processes and Redis, sampled each second, and the table that shows a soak's figures."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis

from tests.long.site import Site, workers_of


@dataclass(frozen=True)
class Sample:
    """One moment. The worker's figures are the largest among the workers of the first gateway."""

    at: float
    rss_mib: float
    descriptors: float
    threads: float
    connections: float


class Sampler:
    """Samples a site in the background, within a ``with`` block. ``eternal``: keys seen without a TTL."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.samples: list[Sample] = []
        self.eternal: set[str] = set()
        self.scanned = 0
        self.most_memory = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")
        self._store = site.redis.client()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._store.close()

    def look_at_keys(self) -> None:
        """Record the keys that have no TTL at this moment."""
        names = list(self._store.scan_iter(count=1000))
        with self._store.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.pttl(name)
            ends = pipeline.execute()
        self.scanned += len(names)
        self.eternal |= {name.decode() for name, end in zip(names, ends, strict=True) if end == -1}

    def thirds(self, figure: str) -> tuple[float, float]:
        """Medians of a figure in the middle third and in the last third."""
        first, last = self.samples[0].at, self.samples[-1].at
        middle: list[float] = []
        end: list[float] = []
        for sample in self.samples:
            third = 3 * (sample.at - first) / (last - first or 1)
            if third >= 1:
                (middle if third < 2 else end).append(getattr(sample, figure))
        return statistics.median(middle), statistics.median(end)

    def now(self) -> Sample:
        """A sample of this moment. Raises an error if Redis is stopped, or if a worker ends meanwhile."""
        processes = [Path("/proc") / str(pid) for pid in workers_of(self._site.gateways[0])]
        status = [(process / "status").read_text() for process in processes]
        return Sample(
            time.monotonic(),
            max(_field(text, "VmRSS") for text in status) / 1024,
            max(len(list((process / "fd").iterdir())) for process in processes),
            max(_field(text, "Threads") for text in status),
            self._connections(),
        )

    def _connections(self) -> float:
        """Connections of the gateways."""
        return float(len(self._store.client_list())) - 2

    def _run(self) -> None:
        while not self._over.wait(1):
            # Redis may be stopped, or a worker may be about to end.
            with suppress(redis.RedisError, OSError, ValueError):
                self.samples.append(self.now())
                self.most_memory = max(self.most_memory, self._store.info("memory")["used_memory"])
                self.look_at_keys()


def _field(status: str, name: str) -> int:
    """A number in a process's status. Raises ``ValueError`` if the process has ended."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(name)


def show(title: str, parts: Mapping[str, Counter[str] | Mapping[str, object]]) -> None:
    """Write the figures as a table, which ``pytest -rP`` shows."""
    lines = [f"== {title}"]
    for part, figures in parts.items():
        lines.append(f"{part}:")
        lines += [f"  {name:<48}{value!s:>12}" for name, value in sorted(figures.items())]
    sys.stdout.write("\n".join([*lines, ""]))


def count(names: Iterable[str]) -> Counter[str]:
    """How often each name comes."""
    return Counter(names)
