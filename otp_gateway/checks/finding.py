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
    """The name of the checked part, its status, and a text: the result and what to do."""

    name: str
    status: Status
    message: str


def ok(name: str, message: str) -> Finding:
    """The part works."""
    return Finding(name, "ok", message)


def warning(name: str, message: str) -> Finding:
    """The part works, but an operator should look at it."""
    return Finding(name, "warning", message)


def fault(name: str, message: str) -> Finding:
    """The part does not work, or does not protect."""
    return Finding(name, "fault", message)


def quote(text: object) -> str:
    """Text from outside, made safe for one line of a terminal: short, without control characters."""
    whole = str(text)
    plain = "".join(c if c.isprintable() else "?" for c in whole[:LONGEST_QUOTE])
    return plain if len(whole) <= LONGEST_QUOTE else f"{plain}..."


def within(seconds: float, name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings as they are made. After ``seconds``, one fault of this name replaces those still missing.

    A thread makes the findings. After ``seconds``, no code waits for this thread any more: name resolution,
    and a server that sends data slowly, have no time limit of their own.
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
                name, f"not done within {seconds:g} s: a server does not answer; look at DNS and network"
            )
            return
        if found is None:
            return
        yield found
