"""Makes the run and writes the golden files: ``python -m tests.capture.run [FOLDER]``.

Without a folder it rewrites those that the test compares with.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from unittest import mock

from tests.capture import api, normal, pages, panel
from tests.capture.stage import BACKGROUND, Stage
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

GOLDEN = Path(__file__).parent / "golden"


def capture() -> dict[str, str]:
    """The files by their names."""
    with tempfile.TemporaryFile() as log, RedisServer() as server, KavenegarEmulator() as emulator:
        with _errors_to(log):
            files = _perform(server, emulator)
        log.seek(0)
        lines = log.read().decode().splitlines()
    files["log.txt"] = "".join(f"{normal.log_line(line)}\n" for line in lines).lstrip("\n")
    return files


def _perform(server: RedisServer, emulator: KavenegarEmulator) -> dict[str, str]:
    stage = Stage(server, emulator)
    start = threading.Thread.start
    with mock.patch.object(threading.Thread, "start", lambda thread: stage.idle(thread, start)):
        api.run(stage)
        pages.run(stage)
        operator, path = panel.run(stage)
        stage.end_trace()
        server.kill()
        panel.away(stage, operator, path)
        api.away(stage)
    if not stage.idle_threads:
        raise RuntimeError(f"no thread is called {BACKGROUND!r}: usage is written at moments of its own")
    stage.end()
    return dict(stage.files)


@contextmanager
def _errors_to(file: IO[bytes]) -> Iterator[None]:
    """Send standard error to the file, because every process writes its log there."""
    sys.stderr.flush()
    former = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(former, 2)
        os.close(former)


def main() -> None:
    """Write every file. Remove golden files that the run does not make any more."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    files = capture()
    folder.mkdir(parents=True, exist_ok=True)
    if folder == GOLDEN:
        for old in folder.iterdir():
            if old.name not in files:
                old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
