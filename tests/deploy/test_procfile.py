"""The Procfile as a platform runs it: honcho takes the place of Heroku and Dokku."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.conftest import SECRET_KEY
from tests.deploy.load import OTP, VERIFY
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port
from tests.support.units import children_of


class Foreman:
    """``honcho start`` with this Procfile, in a directory without a developer's .env."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        for name in ("Procfile", "wsgi.py", "gunicorn.conf.py", "otp_gateway"):
            (directory / name).symlink_to(ROOT / name)
        self.port = free_port()
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "honcho", "start"],
                cwd=directory,
                env={
                    "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
                    "LANG": "C.UTF-8",
                    "PYTHONUNBUFFERED": "1",
                    "PORT": str(self.port),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"honcho ended:\n{self.log()}")
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=5).status_code == 200
        return False

    def web(self) -> int | None:
        """The process that the Procfile's line has started."""
        found = re.search(r"web\.1 started \(pid=(\d+)\)", self.log())
        return int(found[1]) if found else None

    def stop(self) -> None:
        """Kill the rest: honcho, and the session of its process."""
        groups = [self.process.pid] if self.process.poll() is None else []
        for group in [*groups, *filter(None, [self.web()])]:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def foreman(
    tmp_path: Path, redis_server: RedisServer, emulator: KavenegarEmulator
) -> Iterator[Callable[..., Foreman]]:
    redis_server.clear()
    running = []

    def start(**variables: str) -> Foreman:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis_server.url,
            "KAVENEGAR_API_KEY": emulator.api_key,
            "KAVENEGAR_BASE_URL": emulator.base_url,
            "WEB_CONCURRENCY": "2",
        }
        running.append(foreman := Foreman(tmp_path, environment | variables))
        wait_until(foreman.answers, "the gateway under honcho")
        return foreman

    yield start
    for process in running:
        process.stop()


def test_a_platform_that_reads_the_procfile_serves_behind_one_proxy(
    foreman: Callable[..., Foreman], emulator: KavenegarEmulator
) -> None:
    gateway = foreman()

    def verify(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return requests.post(gateway.url + VERIFY, json={}, headers=headers, timeout=15).status_code

    sent = requests.post(gateway.url + OTP, json={"phone_number": "+989123456789"}, timeout=15)

    assert sent.status_code == 200
    assert len(emulator.messages) == 1
    # The router writes the client's address last, after any address that the client has claimed.
    assert [verify(f"198.51.100.{n}, 203.0.113.1") for n in range(6)] == [400] * 5 + [429]
    assert verify("203.0.113.1, 203.0.113.2") == 400


def test_a_platforms_sigterm_ends_every_process_and_frees_the_port(foreman: Callable[..., Foreman]) -> None:
    gateway = foreman()
    web = gateway.web()
    assert web is not None
    wait_until(lambda: len(children_of(web)) == 2, "both workers")
    children = children_of(web)

    gateway.process.terminate()

    # honcho reports its own end as 128 + SIGTERM; 0 is gunicorn's status.
    assert gateway.process.wait(20) == 143
    assert "web.1 stopped (rc=0)" in gateway.log()
    assert "Traceback" not in gateway.log()
    assert [pid for pid in (web, *children) if Path(f"/proc/{pid}").exists()] == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", gateway.port))  # noqa: S104  # as gunicorn did, and only for a moment
