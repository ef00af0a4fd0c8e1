"""The folder that holds the metrics of one gateway's workers: one for each gunicorn master.

Every process of the gateway holds a shared lock (flock) on the folder, and the kernel releases it when the
process ends. So a lock that no process holds proves that the gateway has ended, and a later start removes the
folder. systemd-tmpfiles does not clean folders that are locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

# Release 0.1.0 had another prefix. Its folders have no lock, so they would look unused although they are in
# use.
PREFIX = "otp-gateway-metrics-"
# All names of files that the workers make; see multiprocess.py.
FILE = re.compile(r"(counter|gauge_[a-z]+|histogram|unshared)_[0-9]+(\.db)?")
# How often a start tries to make a folder. Another start can remove the folder before it is locked.
ATTEMPTS = 3


def temporary_directory() -> str:
    """The directory for temporary files. Python's own function finds none if the file system is full."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  # the names in it are random


class Folder:
    """A folder for the files of one gateway, with the lock that shows that it is in use."""

    def __init__(self, base: Path | None, uid: int, gid: int) -> None:
        """``base``: the directory for the folders of all gateways. ``uid`` and ``gid``: the workers' user."""
        self._base = base
        self._uid = uid
        self._gid = gid
        self._path: Path | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path | None:
        """The folder; None if it could not be made."""
        return self._path

    def prepare(self) -> None:
        """Make the folder if it does not exist: at the start, or because a cleanup has removed it.

        Raises ``OSError``. Afterwards the folder belongs to the workers' user, and this process locks it.
        """
        if self._path is None:
            self._make()
        elif not self._is_in_place(self._path):
            if self._base is not None:
                self._base.mkdir(exist_ok=True)
            try:
                self._path.mkdir(mode=0o700)
            except FileExistsError:
                self._hold(self._path, new=False)
            else:
                self._hold(self._path, new=True)

    def remove(self) -> None:
        """Remove the folder: the gateway has ended."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)

    def remove_unused(self) -> None:
        """Remove the folders of gateways that were killed."""
        with suppress(OSError), os.scandir(self._base or temporary_directory()) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX):
                    # It was removed meanwhile, or it is in use, or it is not ours.
                    with suppress(OSError):
                        self._remove_if_unused(Path(entry.path))

    def _make(self) -> None:
        if self._base is not None:
            self._base.mkdir(exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._base or temporary_directory()))
            try:
                self._hold(made, new=True)
            except OSError:
                with suppress(OSError):
                    made.rmdir()
                if attempt == ATTEMPTS:
                    raise
            else:
                self._path = made
                return

    def _hold(self, path: Path, *, new: bool) -> None:
        """Lock the folder. Raises ``OSError`` if it is another user's, or another process removes it."""
        lock = _open(path, os.geteuid() if new else self._uid)
        try:
            if new:
                # With gunicorn's --user, the workers are another user than the master.
                os.fchown(lock, self._uid, self._gid)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if not _is_at(lock, path):
                raise FileNotFoundError(errno.ENOENT, "Removed by another process", str(path))
        except OSError:
            os.close(lock)
            raise
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _is_in_place(self, path: Path) -> bool:
        return self._lock is not None and _is_at(self._lock, path)

    def _remove_if_unused(self, path: Path) -> None:
        descriptor = _open(path, self._uid)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = os.listdir(descriptor)  # noqa: PTH208  # the folder that is open and locked
            if all(FILE.fullmatch(name) for name in names):
                for name in names:
                    os.unlink(name, dir_fd=descriptor)
                path.rmdir()
        finally:
            os.close(descriptor)


def _open(path: Path, owner: int) -> int:
    """Open the folder itself, not one that a symbolic link leads to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    # In a directory for all users, another user can make a folder of this name.
    if os.fstat(descriptor).st_uid != owner:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "The folder belongs to another user", str(path))
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the open file or folder."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and os.path.samestat(found, os.fstat(descriptor))
