"""The default number of workers is the number of processors that the process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otp_gateway.settings.cores import cores, workers


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def version_2(folder: Path, **quotas: str) -> float:
    """Quotas by group, as ``root`` and ``a``; the process is in ``/a/b``."""
    own = folder / "own"
    own.write_text("0::/a/b\n")
    root = folder / "root"
    (root / "a" / "b").mkdir(parents=True)
    for name, quota in quotas.items():
        (root / {"root": ".", "a": "a", "b": "a/b"}[name] / "cpu.max").write_text(f"{quota}\n")
    return cores(root, own)


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert version_2(tmp_path) == 8


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"b": "max 100000"}, 8),
        ({"b": "150000 100000"}, 1.5),
        ({"a": "50000 100000", "b": "max 100000"}, 0.5),
        ({"root": "200000 100000"}, 2),
        ({"b": "rubbish"}, 8),
        ({"b": "0 0"}, 8),
        ({"b": "9900000 100000"}, 8),
    ],
)
def test_the_narrowest_quota_counts(tmp_path: Path, quotas: dict[str, str], expected: float) -> None:
    assert version_2(tmp_path, **quotas) == expected


def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("12:memory:/x\n4:cpu,cpuacct:/docker/1\n")
    group = tmp_path / "root" / "cpu" / "docker" / "1"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("250000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path / "root", own) == 2.5


@pytest.mark.parametrize(
    ("available", "expected"), [(0.25, 1), (0.5, 1), (1, 2), (1.5, 3), (6, 12), (64, 12)]
)
def test_there_are_two_workers_for_a_core_and_twelve_at_most(
    monkeypatch: pytest.MonkeyPatch, available: float, expected: int
) -> None:
    monkeypatch.setattr("otp_gateway.settings.cores.cores", lambda: available)
    assert workers() == expected
