"""The number of processor cores that this process may use, by its affinity and its control group's quota."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MOST_WORKERS = 12


def workers() -> int:
    """The number of workers: two for each core, at least one, and at most twelve."""
    return max(1, min(MOST_WORKERS, int(2 * cores())))


def cores(root: Path = CGROUPS, own: Path = OWN_GROUPS) -> float:
    """The number of cores. A quota can be a part of a core. The limit of a container is often a quota."""
    return min([float(len(os.sched_getaffinity(0))), *_quotas(root, own)])


def _quotas(root: Path, own: Path) -> list[float]:
    """The quotas of the process's control group and of every group above it, version 2 and version 1."""
    found = []
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += [_quota(_read(group / "cpu.max").split()) for group in _groups(root, path)]
        elif "cpu" in controllers.split(","):
            for group in _groups(root / "cpu", path):
                quota, period = (_read(group / f"cpu.cfs_{name}_us").split() for name in ("quota", "period"))
                found.append(_quota([*quota, *period]))
    return [quota for quota in found if quota is not None]


def _groups(root: Path, path: str) -> list[Path]:
    """The group and all groups above it. Inside a container, its own group is the root."""
    group = root / path.lstrip("/")
    return [each for each in (group, *group.parents) if each == root or root in each.parents]


def _quota(words: list[str]) -> float | None:
    """The quota in cores. None: ``max 100000`` and ``-1 100000`` mean that there is no quota."""
    try:
        quota, period = map(int, words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
