"""One line of the checklist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "fault"]


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
