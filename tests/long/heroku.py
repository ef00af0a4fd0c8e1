"""Heroku for one app: the command ``heroku``, the build, the dynos, and Redis with its self-signed chain.

The behaviour is that of Heroku's documents "HTTP Routing" and "Dyno Shutdown Behavior", and of the Python
buildpack's scripts for gunicorn. A dyno is a session of processes, because one machine runs all of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.certificates import make_chain
from tests.support.gateway import ROOT
from tests.support.programs import give_up, require_program
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

# Seconds between SIGTERM and SIGKILL.
KILL_SECONDS = 30.0
BOOT_SECONDS = 60.0
BASH = "/bin/bash"
PASSWORD = "p0f5e1b6d2c4a8"
# The files of a checkout that a build reads. A developer's .env is not among them.
SLUG = (
    "Procfile", "README.md", "app.json", ".python-version", "gunicorn.conf.py", "otp_gateway",
    "pyproject.toml", "requirements.txt", "wsgi.py",
)  # fmt: skip
# The variables that the Python buildpack and the platform set for each dyno.
RUNTIME = {
    "FORWARDED_ALLOW_IPS": "*",
    "GUNICORN_CMD_ARGS": "--access-logfile -",
    "WEB_CONCURRENCY": "02",
    "WEB_CONCURRENCY_SET_BY": "heroku/python",
    "DYNO_RAM": "512",
    "PYTHONUNBUFFERED": "true",
    "LANG": "en_US.UTF-8",
}
# `heroku`, as far as README uses it. It runs in the folder of the app's repository.
COMMAND = """#!{python}
import json, os, pathlib, subprocess, sys
home = pathlib.Path({home!r})
config = home / "config.json"
def put(**variables):
    config.write_text(json.dumps(json.loads(config.read_text()) | variables))
verb, *words = sys.argv[1:]
if verb == "create":
    subprocess.run(["git", "init", "-q", "--bare", home / "app.git"], check=True)
    subprocess.run(["git", "remote", "add", "heroku", home / "app.git"], check=True)
elif verb == "addons:create" and words[0].startswith("heroku-redis:"):
    put(REDIS_URL={redis_url!r})
elif verb == "config:set":
    put(**dict(word.split("=", 1) for word in words))
elif verb == "run":
    words = words[1:] if words[0] == "--" else words
    environment = os.environ | {runtime!r} | json.loads(config.read_text()) | {{"DYNO": "run.1234"}}
    done = subprocess.run(["bash", "-c", " ".join(words)], cwd=home / "slug", env=environment)
    sys.exit(done.returncode)
else:
    sys.exit(f"unknown here: heroku {{verb}}")
"""


class HerokuRedis(RedisServer):
    """Key-Value Store as the add-on makes it: a password, and TLS with a chain that no authority knows."""

    def __init__(self, folder: Path) -> None:
        self.tls_port = free_port()
        chain, key = make_chain(folder, "ec2-198-51-100-7.compute-1.amazonaws.com")
        super().__init__(
            *("--requirepass", PASSWORD, "--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(chain), "--tls-key-file", str(key), "--maxmemory-policy", "noeviction"),
        )

    @property
    def url(self) -> str:
        """The URL that the platform gives to the app."""
        return f"rediss://:{PASSWORD}@127.0.0.1:{self.tls_port}"

    def client(self, **options: Any) -> redis.Redis:
        """A client without TLS, for the test."""
        return super().client(password=PASSWORD, **options)

    def start(self) -> None:
        """Start it, if this redis-server can do TLS."""
        try:
            super().start()
        except Exception as error:
            if any("Bad directive" in note for note in getattr(error, "__notes__", [])):
                give_up("this redis-server was built without TLS")
            raise


class App:
    """An app of the platform, from ``heroku create`` to its dynos."""

    def __init__(self, folder: Path, redis_url: str, config: Mapping[str, str]) -> None:
        """``config``: variables of the test's surroundings, such as the URL of the provider's emulator."""
        require_program("git")
        self.folder = folder
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(dict(config)), encoding="utf-8")
        for name in SLUG:
            source, target = ROOT / name, self.checkout / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        tools = folder / "tools"
        tools.mkdir()
        command = tools / "heroku"
        command.write_text(
            COMMAND.format(python=sys.executable, home=str(folder), redis_url=redis_url, runtime=RUNTIME),
            encoding="utf-8",
        )
        command.chmod(0o755)
        self._environment = {
            "PATH": f"{tools}:{sys.prefix}/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        self.shell(
            "git init -q -b main; git add -A; "
            "git -c user.name=a -c user.email=a@example.com commit -q -m 'An app'"
        )

    @property
    def config(self) -> dict[str, str]:
        """The app's config vars."""
        found: dict[str, str] = json.loads(self._config.read_text(encoding="utf-8"))
        return found

    def shell(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run lines as a developer types them in the checkout; stop at the first one that fails."""
        return subprocess.run(
            [BASH, "-ec", script],
            cwd=self.checkout,
            env=self._environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOOT_SECONDS,
        )

    def build(self) -> None:
        """Make the slug from the pushed commit, as the buildpack does: it needs these two files."""
        self.shell(f"git clone -q -b main {self.folder}/app.git {self.folder}/slug")
        for name in ("requirements.txt", ".python-version"):
            assert (self.folder / "slug" / name).is_file(), name

    def dyno(self, number: int) -> Dyno:
        """A web dyno, not yet started."""
        return Dyno(self.folder / "slug", f"web.{number}", self._environment | RUNTIME | self.config)


class Dyno:
    """One web dyno: the Procfile's command in a shell, and all processes that come from it."""

    def __init__(self, slug: Path, name: str, environment: Mapping[str, str]) -> None:
        (self.command,) = re.findall(r"^web: (.*)$", (slug / "Procfile").read_text("utf-8"), re.MULTILINE)
        self.port = free_port()
        # Whether a process had to be killed when the dyno was stopped.
        self.killed = False
        self._slug = slug
        self._log = slug.parent / f"{name}-{self.port}.log"
        self._environment = {**environment, "DYNO": name, "PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it. The platform does not wait: see `is_up`."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [BASH, "-c", self.command],
                cwd=self._slug,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def wait_until_up(self) -> None:
        """Return when the dyno has opened its port, which has to be within 60 s."""
        wait_until(self.is_up, f"the port of the dyno:\n{self.log()}", BOOT_SECONDS)

    def is_up(self) -> bool:
        """Whether it has opened its port."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the dyno has ended:\n{self.log()}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def log(self) -> str:
        """The output of its processes."""
        return self._log.read_text(encoding="utf-8")

    def terminate(self) -> None:
        """SIGTERM to every process of the dyno."""
        self._signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for the end of every process for 30 s, then SIGKILL."""
        deadline = time.monotonic() + KILL_SECONDS
        while self._processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.killed = bool(self._processes())
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and 30 s later SIGKILL."""
        self.terminate()
        self.wait()

    def _processes(self) -> list[int]:
        """The processes of the dyno's session that have not ended."""
        if self._process is None:
            return []
        self._process.poll()
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # After the name, which may contain anything: state, parent, group, session.
                state, _, _, session = path.read_text().rpartition(") ")[2].split()[:4]
                if int(session) == self._process.pid and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)
