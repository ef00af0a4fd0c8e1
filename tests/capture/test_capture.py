"""The external behaviour stays the same while the code changes.

An intended change rewrites the golden files: ``python -m tests.capture.run``. Read their diff then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from difflib import unified_diff
from itertools import islice
from pathlib import Path

import pytest

from tests.capture.run import GOLDEN
from tests.support.gateway import ROOT

LONGEST_DIFF = 200
REWRITE = "if that is meant: python -m tests.capture.run"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a new process has written."""
    folder = tmp_path_factory.mktemp("captured")
    done = subprocess.run(
        [sys.executable, "-m", "tests.capture.run", str(folder)],
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME", "REDIS_SERVER") if name in os.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_run_writes_the_files_that_are_known(captured: Path) -> None:
    names = [sorted(file.name for file in folder.iterdir()) for folder in (GOLDEN, captured)]
    assert names[0] == names[1], REWRITE


@pytest.mark.parametrize("name", sorted(file.name for file in GOLDEN.glob("*")))
def test_what_the_outside_sees_is_as_it_was(captured: Path, name: str) -> None:
    expected, found = (folder.joinpath(name).read_bytes() for folder in (GOLDEN, captured))
    if expected != found:
        before, now = (text.decode().splitlines(keepends=True) for text in (expected, found))
        diff = "".join(islice(unified_diff(before, now, f"golden/{name}", "now", n=4), LONGEST_DIFF))
        pytest.fail(f"{REWRITE}\n{diff}", pytrace=False)
