"""One line of the checklist."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal

Status = Literal["ok", "warning", "fault"]
LONGEST_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it stands, and in words what was found and what to do."""

    name: str
    status: Status
    message: str


def ok(name: str, message: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", message)


def warning(name: str, message: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(name, "warning", message)


def fault(name: str, message: str) -> Finding:
    """It does not work, or does not protect."""
    return Finding(name, "fault", message)


def quote(text: object) -> str:
    """What others say, safe in one line of a terminal: short, and nothing that moves the cursor."""
    whole = str(text)
    plain = "".join(c if c.isprintable() else "?" for c in whole[:LONGEST_QUOTE])
    return plain if len(whole) <= LONGEST_QUOTE else f"{plain}..."


def within(seconds: float, name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings as they are made, and a fault of this name for what is missing after ``seconds``.

    They are made in a thread that is left behind then: names that do not resolve and replies that drip have
    no bound of their own.
    """
    made: SimpleQueue[Finding | None] = SimpleQueue()

    def run() -> None:
        try:
            for finding in findings:
                made.put(finding)
        except Exception as error:  # noqa: BLE001  # one check that fails must not hide the others
            made.put(fault(name, f"the check itself failed ({type(error).__name__}): please report it"))
        made.put(None)

    Thread(target=run, name=f"check-{name}", daemon=True).start()
    ends = time.monotonic() + seconds
    while True:
        try:
            found = made.get(timeout=max(0.0, ends - time.monotonic()))
        except Empty:
            yield fault(
                name, f"not done within {seconds:g} s: something on the way hangs; look at DNS and network"
            )
            return
        if found is None:
            return
        yield found
