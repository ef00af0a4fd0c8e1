"""``otp-gateway``, here as ``python -m otp_gateway``, and its command ``serve``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from otp_gateway.version import __version__
from tests.cli.support import FOLDER, SECRET
from tests.cli.test_commands import COMMANDS, WRONG
from tests.support.gateway import ROOT
from tests.support.redis_server import wait_until
from tests.support.servers import free_port

NONE: Mapping[str, str] = {}


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **SECRET, **variables}


def otp_gateway(
    *words: str, env: Mapping[str, str] = NONE, folder: Path = FOLDER
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "otp_gateway", *words],
        cwd=folder,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def settings_of_gunicorn(
    *options: str, env: Mapping[str, str] = NONE, folder: Path = FOLDER
) -> dict[str, str]:
    """gunicorn's settings, as it prints them."""
    done = otp_gateway("serve", "--print-config", *options, env=env, folder=folder)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))


class Server:
    """``serve`` in a folder, on a free port."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "otp_gateway", "serve", "--bind", f"127.0.0.1:{free_port()}"],
                cwd=folder,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def has_started(self, workers: int) -> bool:
        """Whether so many workers have started in all."""
        assert self.process.poll() is None, self.log()
        return self.log().count("Booting worker with pid") == workers

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    running = []

    def start(**variables: str) -> Server:
        running.append(server := Server(tmp_path, **variables))
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()


def test_the_help_lists_the_commands_of_flask_and_serve() -> None:
    listed = otp_gateway("--help", env=WRONG).stdout.partition("Commands:")[2].split("\n  ")
    assert {line.split()[0] for line in listed if line.strip()} == COMMANDS | {"serve"}


def test_the_command_knows_its_version() -> None:
    assert otp_gateway("--version").stdout == f"otp-gateway, version {__version__}\n"


def test_the_commands_work_with_settings_that_the_gateway_refuses() -> None:
    done = otp_gateway("check", "--json", env=WRONG)
    assert done.returncode == 1
    assert done.stderr == ""
    assert [check["name"] for check in json.loads(done.stdout)["checks"]] == ["settings"] * 3


def test_serve_refuses_wrong_settings_without_a_traceback() -> None:
    for words in (("serve",), ("serve", "--check-config")):
        done = otp_gateway(*words, env=WRONG)
        assert done.returncode == 1
        assert "its settings are wrong" in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr


def test_gunicorn_checks_good_settings_and_ends() -> None:
    done = otp_gateway("serve", "--check-config")
    assert done.returncode == 0, done.stderr


def test_gunicorn_gets_our_configuration_and_the_options() -> None:
    env = {"PORT": "8123", "WEB_CONCURRENCY": ""}
    shown = settings_of_gunicorn("--graceful-timeout", "2", env=env)
    assert shown["bind"] == "['0.0.0.0:8123']"
    assert shown["wsgi_app"] == "otp_gateway.server:application()"
    assert shown["threads"] == "32"
    assert shown["graceful_timeout"] == "2"


def test_the_variable_for_gunicorns_options_works_and_the_command_line_overrides_it() -> None:
    env = {"GUNICORN_CMD_ARGS": "--keep-alive 7 --threads 3"}
    shown = settings_of_gunicorn("--threads", "4", env=env)
    assert (shown["keepalive"], shown["threads"]) == ("7", "4")


@pytest.mark.parametrize("place", ["options", "variable"])
def test_an_operators_own_configuration_replaces_ours(place: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("threads = 5\nwsgi_app = 'otp_gateway.server:application()'\n")
    if place == "options":
        shown = settings_of_gunicorn("--config", "own.py", folder=tmp_path)
    else:
        shown = settings_of_gunicorn(env={"GUNICORN_CMD_ARGS": "--config own.py"}, folder=tmp_path)
    assert shown["threads"] == "5"


def test_a_reload_reads_the_settings_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    # The store is not embedded, so that there may be more than one worker; no Redis is needed to start.
    env = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "SMS_BACKEND": "console"}
    (tmp_path / ".env").write_text("WEB_CONCURRENCY=1\n")
    server = serve(**env)
    wait_until(lambda: server.has_started(1), "one worker")
    (tmp_path / ".env").write_text("WEB_CONCURRENCY=2\n")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.has_started(3), "two workers more")
    assert server.stop() == 0
