"""An imitation of a container engine: builds the image of the Dockerfile and runs it, in mounts of its own.

The base image is this machine's root file system, with an overlay for each stage, and with the Python of the
tests at /usr/local, where the official image has its own. ``IMAGE_ROOT`` names another root, such as one that
debootstrap has made. The imitation knows the instructions below and refuses all others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Self

from tests.support.gateway import ROOT
from tests.support.programs import give_up, in_own_mounts, require_program
from tests.support.units import children_of

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KNOWN = {"ARG", "FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


@dataclass
class Stage:
    """One stage of a Dockerfile, and the values that its instructions have set."""

    name: str
    directory: str = "/"
    user: str = "0:0"
    env: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    # Shell lines that build it; $S is the folder of all stages, $C the build context.
    script: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, with continued lines joined."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines if line.strip()]
    unknown = {name for name, _ in found} - KNOWN
    if unknown:
        raise ValueError(f"the stand-in does not know {unknown}")
    return found


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, each with the script that builds it."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for name, value in instructions(text):
        if name == "FROM":
            words = value.split()
            found.append(Stage(words[2] if len(words) > 1 else "final"))
            found[-1].script.append(f"make_root {found[-1].name}")
        elif name == "ARG":
            key, equals, default = value.partition("=")
            arguments |= {key: default} if equals else {}
        else:
            _apply(found[-1], name, value, arguments)
    return found


def _apply(stage: Stage, name: str, value: str, arguments: Mapping[str, str]) -> None:
    root = f"$S/{stage.name}/root"
    if name == "WORKDIR":
        stage.directory = value
        stage.script.append(f'mkdir -p "{root}{value}"')
    elif name == "ENV":
        key, _, text = value.partition("=")
        stage.env[key] = re.sub(r"\$(\w+)", lambda match: stage.env.get(match[1], ""), text)
    elif name == "USER":
        stage.user = value
    elif name == "COPY":
        stage.script.append(_copy(stage, value))
    elif name == "RUN":
        env = shlex.join(f"{key}={text}" for key, text in {**arguments, **stage.env}.items())
        command = shlex.quote(f"cd {stage.directory} && {value}")
        stage.script.append(f'chroot "{root}" env $PIP {env} sh -ec {command}')
    elif name == "CMD":
        stage.command = json.loads(value)
    elif name == "HEALTHCHECK":
        stage.health = json.loads(value.partition("CMD ")[2])


def _copy(stage: Stage, value: str) -> str:
    words = value.split()
    source, root = "$C", f"$S/{stage.name}/root"
    if words[0].startswith("--from="):
        source = f"$S/{words.pop(0).removeprefix('--from=')}/root"
    *names, target = words
    place = target if target.startswith("/") else f"{stage.directory}/{target}"
    if target.endswith("/") and not (len(names) == 1 and names[0].endswith("/")):
        copies = [f'cp -a "{source}/{name}" "{root}{place}"' for name in names]
        return "\n".join([f'mkdir -p "{root}{place}"', *copies])
    # A folder: its content goes to the target.
    (name,) = names
    return f'mkdir -p "{root}{place}" && cp -a "{source}/{name.rstrip("/")}/." "{root}{place}"'


def context(folder: Path, ignore: str) -> None:
    """Copy the build context to a folder: each file that .dockerignore does not exclude."""
    rules = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    for path in ROOT.rglob("*"):
        own = path.relative_to(ROOT)
        if path.is_file() and not _is_ignored(own, rules):
            (folder / own).parent.mkdir(parents=True, exist_ok=True)
            (folder / own).write_bytes(path.read_bytes())


def _is_ignored(path: Path, rules: list[str]) -> bool:
    """Whether the path is excluded: the last rule that matches it, or a folder of it, decides."""
    ignored = False
    names = [str(path), *(str(parent) for parent in path.parents)]
    for rule in rules:
        pattern = rule.removeprefix("!").replace("**/", "*")
        if any(fnmatch(name, pattern) for name in names):
            ignored = not rule.startswith("!")
    return ignored


# All processes run in one mount namespace and one process namespace, and end with them.
PRELUDE = """
mount -t tmpfs none "$S"
make_root() {
  mkdir -p "$S/$1/up" "$S/$1/work" "$S/$1/root"
  mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$S/$1/up,workdir=$S/$1/work" "$S/$1/root"
  mount --bind /dev "$S/$1/root/dev"
  mount -t proc none "$S/$1/root/proc"
  mount -t tmpfs none "$S/$1/root/tmp"
  cp /etc/resolv.conf "$S/$1/root/etc/resolv.conf"
  if [ -n "$PYTHON" ]; then
    mount --bind "$PYTHON" "$S/$1/root/usr/local"
    chroot "$S/$1/root" /sbin/ldconfig
  fi
}
"""
# As with `docker run --read-only --tmpfs /tmp`: no other folder can be written.
READ_ONLY = """
umount "$R/tmp"
if [ -n "$PYTHON" ]; then mount -o remount,bind,ro "$R/usr/local"; fi
mount -o remount,ro "$R"
mount -t tmpfs none "$R/tmp"
"""


def require_engine() -> None:
    """Check the programs and rights that this needs. Without them, skip the test, or fail it when CI=true."""
    if os.geteuid() != 0:
        give_up("only root can start a process as another user")
    python = Path(sys.base_prefix) / "bin" / "python3"
    done = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False, timeout=30)
    if done.returncode != 0:
        give_up("the Python of this machine has no pip")


class Container:
    """The image of this checkout, built and then run with these variables; a context manager."""

    def __init__(self, **variables: str) -> None:
        self._parts = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
        self._variables = variables
        self._folder = Path(tempfile.mkdtemp(prefix="image-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def image(self) -> Stage:
        """The last stage."""
        return self._parts[-1]

    @property
    def pid(self) -> int:
        """Process 1 of the container, by its number outside."""
        assert self._process is not None
        (found,) = children_of(self._process.pid)
        return found

    def start(self) -> Self:
        """Build the image, then run its command."""
        require_engine()
        content = self._folder / "context"
        content.mkdir()
        context(content, (ROOT / ".dockerignore").read_text(encoding="utf-8"))
        (self._folder / "stages").mkdir()
        base = os.environ.get("IMAGE_ROOT")
        settings = {
            "S": str(self._folder / "stages"),
            "R": f"{self._folder}/stages/{self.image.name}/root",
            "C": str(content),
            "BASE": base or "/",
            "PYTHON": "" if base or sys.base_prefix == "/usr" else sys.base_prefix,
            # The machine's own configuration for its package index.
            "PIP": shlex.join(
                f"{name}={text}" for name, text in os.environ.items() if name.startswith("PIP_")
            ),
        }
        env = {**self.image.env, **self._variables}
        user, _, group = self.image.user.partition(":")
        run = shlex.join(
            [
                *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"),
                *("--bounding-set=-all", "env", "-i", f"--chdir={self.image.directory}"),
                *(f"{name}={text}" for name, text in env.items()),
                *self.image.command,
            ]
        )
        script = "\n".join(
            [
                PRELUDE,
                *(line for stage in self._parts for line in stage.script),
                READ_ONLY,
                'echo "the image is built" >&2',
                f'exec chroot "$R" {run}',
            ]
        )
        prefix = in_own_mounts("")
        at = prefix.index("--mount")
        prefix[at:at] = ["--pid", "--fork", "--kill-child"]
        with self.stream("stdout").open("wb") as out, self.stream("stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [*prefix, require_program("sh"), "-ec", script],
                env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return self

    def stream(self, name: str) -> Path:
        """The file with standard output or standard error."""
        return self._folder / name

    def is_built(self) -> bool:
        """Whether the command of the image runs."""
        assert self._process is not None
        text = self.stream("stderr").read_text(encoding="utf-8", errors="replace")
        if self._process.poll() is not None:
            output = self.stream("stdout").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"it has ended:\n{output[-3000:]}\n{text[-3000:]}")
        return "the image is built" in text

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """As ``docker exec``: a command in the running container."""
        env = {**self.image.env, **self._variables, **variables}
        user, _, group = self.image.user.partition(":")
        return subprocess.run(
            [
                *(require_program("nsenter"), f"--target={self.pid}", "--mount", "--pid", "--root"),
                *(f"--wd=/proc/{self.pid}/cwd", f"--setuid={user}", f"--setgid={group}"),
                *("env", "-i", *(f"{name}={text}" for name, text in env.items()), *command),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def stop(self, seconds: float) -> int:
        """As ``docker stop``: SIGTERM to process 1; the exit status. TimeoutExpired after these seconds."""
        assert self._process is not None
        os.kill(self.pid, 15)
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            # unshare kills its child, and with it each process of the namespace.
            self._process.kill()
            self._process.wait()
