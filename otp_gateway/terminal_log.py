"""Short log lines for the terminal of a developer."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

GREEN, YELLOW, RED, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
LEVELS = {"warning": YELLOW, "error": RED, "critical": RED}
# The fields of every line.
STANDARD = ("event", "level", "logger", "timestamp", "exception")


def request_line(values: Mapping[str, Any]) -> str:
    """The line of a request. Its id and all other fields are only in the JSON lines of production."""
    status = values["status"]
    colour = GREEN if status < 400 else YELLOW if status < 500 else RED
    reasons = [
        str(values[name]) for name in ("error", "limit", "reason", "provider_code") if values.get(name)
    ]
    parts = [
        _now(),
        f"{colour}{status}{PLAIN}",
        values["method"] or "-",
        values["route"] or "-",
        f"{values['duration_ms']:.0f} ms",
        values.get("phone", ""),
        *(str(reason) for reason in reasons if reason),
    ]
    return " ".join(part for part in parts if part)


def render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """The text of any other line, for structlog."""
    level = event["level"]
    parts = [
        _now(),
        f"{LEVELS[level]}{level}{PLAIN}" if level in LEVELS else "",
        str(event["event"]),
        *(f"{name}={value}" for name, value in event.items() if name not in STANDARD and value is not None),
    ]
    line = " ".join(part for part in parts if part)
    return f"{line}\n{event['exception']}" if event.get("exception") else line


def _now() -> str:
    return time.strftime("%H:%M:%S")
