"""The commands as an operator types them: a shell, a folder, an environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT
from tests.support.prepared import MEASURED

FOLDER = ROOT / "tests" / "data"
SECRET = {"SECRET_KEY": SECRET_KEY}


def flask(
    *words: str | bytes,
    env: Mapping[str, str] = SECRET,
    app: str | None = "wsgi",
    folder: Path = FOLDER,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run ``flask``. It gets only PATH from the tests' own environment."""
    inherited = {name: os.environ[name] for name in ("PATH", *MEASURED) if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "flask", *(["--app", app] if app else []), *words],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **env},
        input=stdin,
        capture_output=True,
        check=False,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
