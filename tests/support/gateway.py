"""The gateway itself, as in production: gunicorn, real workers, a real port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import requests

from tests.conftest import SECRET_KEY
from tests.support import prepared
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.kavenegar import KavenegarEmulator

ROOT = Path(__file__).resolve().parents[2]
# Everything else of the tests' own environment stays outside. Coverage is measured in all processes.
INHERITED = ("PATH", "HOME", *prepared.MEASURED)
_OPTIONS = ["-c", str(ROOT / "gunicorn.conf.py")]
_TIMEOUT = 60.0
_TAIL = 4000
_REPEATS = 30


def environment(redis_url: str, emulator: KavenegarEmulator, **more: str) -> dict[str, str]:
    """The variables of a gateway with this store and this provider, and no others but ``more``."""
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    } | more


_Process = subprocess.Popen[bytes] | prepared.Forked


class Gateway:
    """The gateway on a free port of 127.0.0.1 or `address`, configured only by `env`; a context manager.

    gunicorn serves `app`: the gateway's own WSGI module, or one of the tests around it. `prefix` is a command
    that prepares something and then replaces itself by the gateway.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        workers: int = 2,
        app: str = "wsgi:app",
        prefix: Sequence[str] = (),
        address: str = "127.0.0.1",
    ) -> None:
        self.port = free_port()
        self.address = address
        self._app = app
        self._prefix = prefix
        # The embedded store has one worker, for any value of WEB_CONCURRENCY.
        self._count = workers if env.get("REDIS_URL") else 1
        self._env = {**env, "PORT": str(self.port), "WEB_CONCURRENCY": str(workers)}
        if address != "127.0.0.1":
            # By default, it listens on every address.
            self._env["GUNICORN_CMD_ARGS"] = f"--bind {address}:{self.port}"
        self._process: _Process | None = None
        self._output: IO[bytes] | None = None
        self._log = ""

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of gunicorn's master."""
        return self._started().pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that have been started and have not yet ended."""
        log = self.log()
        ended = re.findall(r"Worker exiting \(pid: (\d+)\)|Worker \(pid:(\d+)\) was sent", log)
        gone = {int(clean or killed) for clean, killed in ended}
        return [
            int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", log) if int(pid) not in gone
        ]

    def log(self) -> str:
        """The complete output to stdout and stderr so far. It can be read after `stop`, too."""
        return self._log if self._output is None else _read(self._output)

    def start(self) -> None:
        """Start it and wait until /healthz answers and all workers have been started.

        RuntimeError with the log if this takes too long.
        """
        # It outlives this method: `log` reads it and `stop` closes it.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = _spawn(self._env, self._output, self._app, self._prefix)
            self._wait_until_complete()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Send SIGTERM, wait, and kill the rest with SIGKILL. A stopped gateway stays as it is."""
        if self._process is not None:
            try:
                self.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_TIMEOUT)
            finally:
                _kill_group(self._process)
        if self._output is not None:
            self._log = _read(self._output)
            self._output.close()
            self._output = None

    def terminate(self) -> None:
        """Send SIGTERM to the master, without waiting."""
        self._started().terminate()

    def hup(self) -> None:
        """Send SIGHUP to the master: it reloads with new workers."""
        self._started().send_signal(signal.SIGHUP)

    def wait_exit(self, timeout: float = _TIMEOUT) -> int:
        """Wait until it has ended by itself or by a signal; return its exit status."""
        return self._started().wait(timeout)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET, on a connection of its own."""
        return self.request("GET", path, **options)

    def post(self, path: str, json: object = None, **options: Any) -> requests.Response:
        """POST a JSON body, or the `data` of the options, on a connection of its own."""
        return self.request("POST", path, json=json, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Any request; no retries, and 60 s unless `timeout` says otherwise."""
        with requests.Session() as session:
            # The proxies and .netrc of the user's machine must not influence a test.
            session.trust_env = False
            return session.request(method, self.url + path, **{"timeout": 60, **options})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _started(self) -> _Process:
        if self._process is None:
            raise RuntimeError("the gateway was not started")
        return self._process

    def _wait_until_complete(self) -> None:
        self._wait_for(self._is_healthy, "healthy")
        # One worker answers while another is still being started.
        self._wait_for(lambda: len(self.workers) == self._count, "complete")

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            status = self._started().poll()
            if status is not None:
                raise RuntimeError(f"gateway ended with status {status}:\n{self.log()[-_TAIL:]}")
            if condition():
                return
            time.sleep(0.05)
        raise RuntimeError(f"gateway not {what} in {_TIMEOUT:g} s:\n{self.log()[-_TAIL:]}")

    def _is_healthy(self) -> bool:
        try:
            return self.get("/healthz", timeout=2).ok
        except requests.RequestException:
            return False


def run_to_exit(env: Mapping[str, str], *, timeout: float = _TIMEOUT) -> tuple[int, str]:
    """Start it with settings that it must refuse; return its exit status and output.

    AssertionError if it still runs after `timeout` seconds.
    """
    with tempfile.TemporaryFile() as output:
        process = _spawn({"PORT": str(free_port()), "WEB_CONCURRENCY": "1", **env}, output)
        try:
            return process.wait(timeout), _read(output)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs:\n{_read(output)[-_TAIL:]}") from None
        finally:
            _kill_group(process)


def until_answered(call: Callable[[], requests.Response]) -> requests.Response:
    """The first reply that is not ``store_unavailable``.

    On a busy machine, Redis or the gateway may not run within the 0.9 s of a call. Then the call has had no
    effect, so it is made again.
    """
    for _ in range(_REPEATS):
        reply = call()
        if reply.status_code != 503 or reply.json()["code"] != "store_unavailable":
            break
    return reply


def _spawn(
    env: Mapping[str, str], output: IO[bytes], app: str = "wsgi:app", prefix: Sequence[str] = ()
) -> _Process:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    whole = {"PYTHONPATH": str(ROOT), **inherited, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **env}
    # Not the root: a developer's own .env there must not reach the tests.
    folder = ROOT / "tests" / "data"
    if not prefix and prepared.is_possible(env):
        return prepared.start("gunicorn", [*_OPTIONS, app], cwd=folder, env=whole, output=output)
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "gunicorn", *_OPTIONS, app],
        cwd=folder,
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _kill_group(process: _Process) -> None:
    """Kill a master that did not end, and its workers with it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(output: IO[bytes]) -> str:
    # The process writes at the file's offset. A seek and read here would move that offset.
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), size, 0).decode(errors="replace")
