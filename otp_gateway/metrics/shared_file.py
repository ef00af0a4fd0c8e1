"""A worker's values in files that are allocated in full before they are mapped.

prometheus_client makes its files sparse and maps them. If the file system is full, the kernel then ends the
process with SIGBUS as it writes to a page that has no space. Here the space is reserved first. If there is no
space, the values stay in the worker's memory, and no request fails.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from otp_gateway.log import get_logger
from otp_gateway.metrics.folder import Folder

# The files grow by single pages, because a small tmpfs has few pages.
PAGE = mmap.PAGESIZE
# The file begins with the number of bytes in use.
HEADER = struct.Struct("i")
# An entry is a length, the key with at most 8 bytes of padding, and two numbers.
ENTRY_WITHOUT_KEY = 4 + 8 + 16
# Seconds between two checks of the files: whether they still exist, and whether there is space now.
PAUSE = 5.0


class SharedFiles:
    """The files of one worker. prometheus_client calls it in the place of ``MmapedDict``.

    ``prometheus_client.values`` calls everything here under one lock of its own.
    """

    def __init__(self, folder: Folder, slot: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._slot = slot
        self._clock = clock
        self._next_look = clock() + PAUSE
        self._files: list[SharedFile] = []
        self._error: OSError | None = None

    def __call__(self, filename: str) -> SharedFile:
        """The values of one kind. If the file cannot be made, they are kept in memory."""
        file = SharedFile(Path(filename), self)
        self._files.append(file)
        return file

    @property
    def complete(self) -> bool:
        """Whether every file is there. If not, other workers do not see the values of this worker."""
        return all(file.attached for file in self._files)

    @property
    def in_memory(self) -> bool:
        """Whether at least one value is only in this worker's memory."""
        return self._error is not None

    def look(self) -> None:
        """From time to time, make removed files again, and write the values that are only in memory."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + PAUSE
        try:
            self._folder.prepare()
            for file in self._files:
                file.restore()
        except OSError as error:
            self.report(error)
        else:
            self.report(None)

    def report(self, error: OSError | None) -> None:
        """Log the first failure and its end. The file ``unshared_…`` shows the failure to other workers."""
        if (error is None) == (self._error is None):
            return
        self._error = error
        log = get_logger("otp_gateway.metrics")
        path = self._folder.path
        mark = path and path / f"unshared_{self._slot}"
        if error is None:
            log.info("Metrics of this worker are shared again")
            if mark:
                with suppress(OSError):
                    mark.unlink(missing_ok=True)
            return
        log.warning(
            "Metrics of this worker are only in its memory; requests are not affected",
            reason=error.strerror or str(error),
            folder=str(path),
        )
        if mark:
            with suppress(OSError):
                mark.touch()


class SharedFile(MmapedDict):
    """The library's dict of values in a file, with two differences.

    The file is allocated before it is mapped, also when it grows. If this is impossible, the values are kept
    in memory until it is possible. It replaces all methods of ``MmapedDict`` that open or grow the file; the
    tests in tests/metrics/test_shared_file.py fail if the library opens or grows its files elsewhere.
    """

    def __init__(self, path: Path, files: SharedFiles) -> None:
        # MmapedDict.__init__ would make the file sparse.
        self._path = path
        self._files = files
        self._descriptor: int | None = None
        self._m: mmap.mmap | None = None  # type: ignore[assignment]  # MmapedDict has None too, once closed
        self._capacity = 0
        self._used = 0
        # By key, the place of the value in the file.
        self._positions: dict[str, int] = {}
        # Values that have no place in the file yet.
        self._in_memory: dict[str, tuple[float, float]] = {}
        try:
            self._attach()
        except OSError as error:
            files.report(error)

    @property
    def attached(self) -> bool:
        """Whether the file is at its path."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def read_value(self, key: str) -> tuple[float, float]:
        """The value and its time; zeros for a new value."""
        if self._has_place(key):
            value, timestamp = super().read_value(key)  # type: ignore[no-untyped-call]  # the library has no types
            return value, timestamp
        return self._in_memory.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Write it to the file, or keep it in memory. Never raises ``OSError``."""
        self._files.look()
        if self._has_place(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]  # the library has no types
        else:
            self._in_memory[key] = (value, timestamp)

    def restore(self) -> None:
        """Make the file again if it is missing, and write the values that are only in memory."""
        if not self.attached:
            if self._m is not None:
                # The memory is still mapped although its file was removed.
                values = self.read_all_values()  # type: ignore[no-untyped-call]  # the library has no types
                self._in_memory |= {key: (value, timestamp) for key, value, timestamp in values}
            self._attach()
        for key in list(self._in_memory):
            self._init_value(key)
            value, timestamp = self._in_memory.pop(key)
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]  # the library has no types

    def close(self) -> None:
        """Unmap and close the file."""
        if self._m is not None:
            self._m.close()
            self._m = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _has_place(self, key: str) -> bool:
        if key in self._positions:
            return True
        if key in self._in_memory or self._m is None:
            return False
        try:
            self._init_value(key)
        except OSError as error:
            self._files.report(error)
            return False
        return True

    def _init_value(self, key: str) -> None:
        """Give the value a place in the file. Raises ``OSError`` if the file cannot grow."""
        needed = self._used + len(key.encode()) + ENTRY_WITHOUT_KEY
        if needed > self._capacity and self._descriptor is not None:
            self._m, self._capacity = _map(self._descriptor, needed)
        # The method would make the file sparse if there was no space for the entry: now there is.
        super()._init_value(key)  # type: ignore[no-untyped-call]  # the library has no types

    def _attach(self) -> None:
        """Open, allocate and map the file. A failure leaves everything as it was."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # The library sets O_APPEND. It is not set here, because glibc refuses such a file if the file system
        # has no fallocate.
        descriptor = os.open(self._path, flags, 0o600)
        try:
            used = HEADER.unpack(os.pread(descriptor, HEADER.size, 0).ljust(HEADER.size, b"\0"))[0]
            mapped, capacity = _map(descriptor, max(used, 1))
        except OSError:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor, self._m, self._capacity = descriptor, mapped, capacity
        if used == 0:
            used = 2 * HEADER.size
            mapped[: HEADER.size] = HEADER.pack(used)
        self._used = used
        entries = self._read_all_values()  # type: ignore[no-untyped-call]  # the library has no types
        self._positions = {key: position for key, _, _, position in entries}


def _map(descriptor: int, needed: int) -> tuple[mmap.mmap, int]:
    """Reserve ``needed`` bytes, then map them. Raises ``OSError``, for example if the disk is full."""
    size = -(-needed // PAGE) * PAGE
    _allocate(descriptor, size)
    return mmap.mmap(descriptor, size), size


def _allocate(descriptor: int, size: int) -> None:
    """Reserve the space of the first ``size`` bytes."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    # macOS has no such call. Only this function makes the file longer, so there are no holes before its end.
    end = os.fstat(descriptor).st_size
    if end < size:
        os.pwrite(descriptor, bytes(size - end), end)
