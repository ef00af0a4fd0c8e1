"""The types of otp.js compile, and they fit the uses that the docs describe."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.gateway import ROOT
from tests.support.programs import node_project, require_program

TYPES = ROOT / "otp_gateway" / "pages" / "static" / "otp.d.ts"
APP = ROOT / "tests" / "pages" / "app.ts"
# An app may be older than the newest standard.
TARGETS = ["es2020", "esnext"]


def compiled(folder: Path, target: str) -> str:
    """The output of TypeScript's strict compiler about the app and the types. Empty if it accepts them."""
    project, node = node_project(), require_program("node")
    compiler = project / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--strict", "--noEmit", "--module", "esnext", "--lib", f"{target},dom", "--target", target]
    done = subprocess.run(
        [node, str(compiler), *options, "app.ts", "otp.d.ts"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with an app's source next to the types, as an app would keep a copy of them."""
    for file in (TYPES, APP):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", TARGETS)
def test_an_app_compiles_with_the_types(app: Path, target: str) -> None:
    assert compiled(app, target) == ""


def test_the_compiler_finds_a_method_that_the_types_do_not_have(app: Path) -> None:
    types = (app / "otp.d.ts").read_text(encoding="utf-8")
    assert types.count("  me(): Promise<OTP.User>;") == 1
    (app / "otp.d.ts").write_text(types.replace("  me(): Promise<OTP.User>;", ""), encoding="utf-8")
    assert "Property 'me' does not exist on type 'OTP'" in compiled(app, TARGETS[0])
