"""Threads that make requests until a ``with`` block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Self


class Load:
    """Runs these functions, each in a thread of its own. They end when ``_over`` is set."""

    def __init__(self, runs: Sequence[Callable[[], object]]) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=run, name=f"load-{n}") for n, run in enumerate(runs)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
