"""Processor time and memory of running processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def seconds_of_group(leader: int) -> float:
    """Processor seconds of the process group: user and system time, with the children that have ended."""
    return sum(sum(int(fields[i]) for i in range(11, 15)) for fields in _group(leader)) / TICKS


def memory_of_group(leader: int) -> list[int]:
    """Resident bytes of each process of the group except the leader."""
    return [int(fields[21]) * PAGE for pid, fields in _numbered(leader) if pid != leader]


def _group(leader: int) -> Iterator[list[str]]:
    return (fields for _, fields in _numbered(leader))


def _numbered(leader: int) -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        # The name of the process is in brackets and can hold blanks. The fields after it begin with field 3.
        fields = text.rpartition(")")[2].split()
        if int(fields[2]) == leader:
            yield int(entry.name), fields
