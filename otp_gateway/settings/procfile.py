"""Variables that the Procfile sets for the web process.

A platform runs commands outside of the web process (``heroku run``), so they do not have these variables. But
a command must report about the web process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# A platform that reads a Procfile sets this in each of its processes.
PLATFORM = "DYNO"
WEB = re.compile(r"^web:(.*)$", re.MULTILINE)
DEFAULT = re.compile(r"\b([A-Z_]+)=\$\{\1:-([^}]*)\}")


def with_procfile(environ: Mapping[str, str], procfile: Path = Path("Procfile")) -> dict[str, str]:
    """The environment of the web process. On a platform, the defaults of the Procfile are added."""
    found = dict(environ)
    if environ.get(PLATFORM):
        with suppress(OSError, UnicodeDecodeError):
            for line in WEB.findall(procfile.read_text(encoding="utf-8")):
                found |= {name: value for name, value in DEFAULT.findall(line) if not environ.get(name)}
    return found
