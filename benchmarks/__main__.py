"""``make bench``: print one table. It takes less than ten minutes on two processors.

``python -m benchmarks quick`` takes a tenth of the requests.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.costs import HEAD, LOGINS, REQUESTS, Costs
from benchmarks.latency import GUESSES, measure_slow_provider, measure_uniformity
from benchmarks.processes import memory_of_group
from benchmarks.scripts import measure as measure_scripts
from benchmarks.site import WORKERS, site


def main(divisor: int = 1) -> None:
    """Measure everything in one run."""
    began = time.monotonic()
    with site() as running:
        ready = time.monotonic() - began
        _show(
            f"Processor time of one request ({REQUESTS // divisor} requests, {LOGINS // divisor} logins)",
            HEAD,
        )
        for row in Costs(running).measure(REQUESTS // divisor, LOGINS // divisor):
            _print(str(row))
        memory = statistics.mean(memory_of_group(running.gateway.pid)) / 2**20
        _show("Time of one run of a script, as Redis counts it", *measure_scripts(running))
        _show("Uniform answers", measure_uniformity(running, GUESSES // divisor))
    _show(f"Time of a verify while the provider takes 300 ms: median and p99, {WORKERS} workers")
    for line in measure_slow_provider():
        _print(line)
    _show(
        "A worker",
        f"{'resident memory after these requests':<44}{memory:>8.0f} MiB",
        f"{'Redis, provider and two servers ready after':<44}{ready:>8.1f} s",
    )
    _print(f"\n{time.monotonic() - began:.0f} s in all")


def _show(title: str, *lines: str) -> None:
    _print(f"\n{title}\n{'-' * len(title)}")
    for line in lines:
        _print(line)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(10 if sys.argv[1:] == ["quick"] else 1)
