"""The folder of one gateway's metrics: locked while in use, and removed by a later start if it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otp_gateway.metrics.folder import PREFIX, Folder
from tests.support.programs import require_program

OTHER_USER = 12_345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


def make(base: Path) -> Folder:
    folder = Folder(base, os.geteuid(), os.getegid())
    folder.prepare()
    return folder


def path_of(folder: Folder) -> Path:
    assert folder.path is not None
    return folder.path


def unused(base: Path, name: str = "0ld") -> Path:
    """The folder that a killed gateway leaves behind."""
    path = base / f"{PREFIX}{name}"
    path.mkdir(mode=0o700)
    for file in ("counter_0.db", "gauge_livesum_1.db", "histogram_12.db", "unshared_0"):
        (path / file).write_bytes(bytes(100))
    return path


@contextmanager
def child_that_holds(base: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Another gateway's process with a folder of its own."""
    code = (
        "import os, sys; from pathlib import Path; from otp_gateway.metrics.folder import Folder\n"
        "folder = Folder(Path(sys.argv[1]), os.geteuid(), os.getegid()); folder.prepare()\n"
        "print(folder.path, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Path(process.stdout.readline().strip()), process
        finally:
            process.kill()


def test_the_folder_of_a_killed_gateway_is_removed(tmp_path: Path) -> None:
    with child_that_holds(tmp_path) as (path, process):
        (path / "counter_0.db").write_bytes(bytes(100))
        make(tmp_path).remove_unused()
        assert (path / "counter_0.db").exists()
        process.kill()
        process.wait()
    mine = make(tmp_path)
    mine.remove_unused()
    assert not path.exists()
    assert path_of(mine).exists()


def test_a_folder_with_files_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    path = unused(tmp_path)
    (path / "notes.txt").touch()
    before = sorted(file.name for file in path.iterdir())
    make(tmp_path).remove_unused()
    assert sorted(file.name for file in path.iterdir()) == before


def test_folders_of_other_names_are_left_as_they_are(tmp_path: Path) -> None:
    """Release 0.1.0 has no lock, so its folders look unused while they are in use."""
    old = tmp_path / "otp-gateway-3djo1cz4"
    old.mkdir()
    (old / "counter_0.db").touch()
    make(tmp_path).remove_unused()
    assert (old / "counter_0.db").exists()


def test_no_symbolic_link_is_followed(tmp_path: Path) -> None:
    elsewhere = unused(tmp_path / "..", "elsewhere")
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    inside = tmp_path / f"{PREFIX}inside"
    inside.mkdir()
    (inside / "counter_0.db").symlink_to(elsewhere / "counter_0.db")
    make(tmp_path).remove_unused()
    assert (elsewhere / "counter_0.db").exists()
    assert link.is_symlink()
    assert not inside.exists()


@needs_root
def test_a_folder_of_another_user_is_neither_removed_nor_used(tmp_path: Path) -> None:
    path = unused(tmp_path)
    os.chown(path, OTHER_USER, OTHER_USER)
    folder = make(tmp_path)
    folder.remove_unused()
    assert (path / "counter_0.db").exists()

    # Another user takes the name of a folder that a cleanup removed.
    path_of(folder).rmdir()
    path_of(folder).mkdir()
    os.chown(path_of(folder), OTHER_USER, OTHER_USER)
    with pytest.raises(PermissionError, match="another user"):
        folder.prepare()


@needs_root
def test_the_folder_belongs_to_the_workers_user_also_when_it_is_made_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path, OTHER_USER, OTHER_USER)
    for _ in range(2):
        folder.prepare()
        found = path_of(folder).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (OTHER_USER, OTHER_USER, 0o700)
        path_of(folder).rmdir()


def test_a_folder_that_was_made_again_is_locked_too(tmp_path: Path) -> None:
    folder = make(tmp_path)
    path_of(folder).rmdir()
    folder.prepare()
    make(tmp_path).remove_unused()
    assert path_of(folder).exists()


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = make(tmp_path)
    path_of(folder).rmdir()
    (tmp_path / "elsewhere").mkdir()
    path_of(folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        folder.prepare()


def test_a_missing_metrics_dir_is_made_but_not_its_parents(tmp_path: Path) -> None:
    assert path_of(make(tmp_path / "metrics")).parent == tmp_path / "metrics"
    with pytest.raises(FileNotFoundError):
        make(tmp_path / "missing" / "metrics")


def test_systemd_does_not_clean_a_folder_in_use(tmp_path: Path) -> None:
    cleaner = require_program("systemd-tmpfiles")
    base = tmp_path / "tmp"
    base.mkdir()
    used = path_of(folder := make(base))
    stale = unused(base)
    for path in (used, stale):
        (path / "counter_0.db").write_bytes(bytes(100))
    rules = tmp_path / "rules.conf"
    # By the times that a process can set: the time of the last change of the files is now.
    rules.write_text(f"d {base} - - - abm:1us\n", encoding="ascii")
    subprocess.run([cleaner, "--clean", str(rules)], check=True, capture_output=True, timeout=30)
    assert list(stale.glob("*.db")) == []
    assert (used / "counter_0.db").exists()
    folder.remove()
    assert not used.exists()
