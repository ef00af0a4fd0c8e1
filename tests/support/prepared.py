"""A Python process that has imported the gateway once, and forks a process for each program that is started.

A gateway uses a second of processor time before it answers, nearly all of it for imports. gunicorn's master
also makes these imports before it forks its workers. So a process that is forked from here is in the same
state as such a master: the modules are imported, and no setting has been read.
"""

from __future__ import annotations

import array
import atexit
import functools
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# Modules read variables with these names when they are imported.
READ_AT_IMPORT = ("PYTHON", "PROMETHEUS_", "SSL_", "LD_", "MALLOC_")
# ``make coverage`` sets these.
MEASURED = ("COVERAGE_PROCESS_START", "COVERAGE_FILE")
PREPARED = ("gunicorn.app.wsgiapp", "otp_gateway.gunicorn_worker.worker", "otp_gateway.server")
_LONGEST_REQUEST = 65_536


class Forked:
    """A process that was forked from the prepared one.

    It has the parts of ``subprocess.Popen`` that tests use.
    """

    def __init__(self, args: Sequence[str], pid: int, end: socket.socket) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._end = end

    def poll(self) -> int | None:
        """The exit status, as ``Popen`` has it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. ``subprocess.TimeoutExpired`` if that takes too long."""
        if self.returncode is None:
            # Zero would make the socket non-blocking, which is another error.
            self._end.settimeout(timeout if timeout is None else max(timeout, 0.001))
            try:
                status = self._end.recv(16)
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._end.close()
            # The prepared process was killed, so the state of its children is unknown.
            self.returncode = int(status) if status else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


def start(
    module: str, args: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[bytes]
) -> Forked:
    """``python -m module args``, with this environment and no other, in a session of its own.

    It reads /dev/null, and writes both its outputs to ``output``.
    """
    control = _control(os.getpid())
    ours, theirs = socket.socketpair()
    request = json.dumps({"module": module, "args": list(args), "cwd": str(cwd), "env": dict(env)}).encode()
    with theirs:
        fds = array.array("i", [theirs.fileno(), output.fileno()])
        control.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    pid = ours.recv(16)
    if not pid:
        raise RuntimeError("the prepared process has ended")
    return Forked([module, *args], int(pid), ours)


def is_possible(env: Mapping[str, str]) -> bool:
    """Whether the modules can be imported before a process gets this environment."""
    return not any(name.startswith(READ_AT_IMPORT) for name in env)


@functools.cache
def _control(_pid: int) -> socket.socket:
    """The socket of this process's prepared process, which is started once."""
    root = Path(__file__).resolve().parents[2]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", *MEASURED) if name in os.environ}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.prepared", str(theirs.fileno())],
            # Not the root: a developer's own .env there must not reach the tests.
            cwd=root / "tests" / "data",
            env={**inherited, "PYTHONPATH": str(root), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def stop() -> None:
        ours.close()
        process.wait(10)

    atexit.register(stop)
    return ours


class _Server:
    """The prepared process: forks on request, and reports the end of each child."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()
        for end in (self._wakeup, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def run(self) -> tuple[str, list[str]]:
        """Return in each child, with its program. The process itself ends here when its parent has ended."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakeup:
                    self._reap()
                else:
                    found = self._fork()
                    if found:
                        return found

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._wakeup.recv(4096)
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                with self._children.pop(found[0]) as end, suppress(OSError):
                    end.send(str(os.waitstatus_to_exitcode(found[1])).encode())

    def _fork(self) -> tuple[str, list[str]] | None:
        data, fds, *_ = socket.recv_fds(self._control, _LONGEST_REQUEST, 2)
        if not data:
            # Skip Python's own shutdown, in which a coverage measurement would write its data.
            os._exit(0)
        request = json.loads(data)
        end, output = socket.socket(fileno=fds[0]), fds[1]
        pid = os.fork()
        if pid:
            os.close(output)
            self._children[pid] = end
            end.send(str(pid).encode())
            return None
        self._become(request, output, [end, *self._children.values()])
        return request["module"], request["args"]

    def _become(self, request: dict[str, Any], output: int, others: list[socket.socket]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (self._control, self._wakeup, self._waker, *others):
            each.close()
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])


def main() -> None:
    """Prepare, serve, and become the program in each child."""
    for name in PREPARED:
        import_module(name)
    module, args = _Server(socket.socket(fileno=int(sys.argv[1]))).run()
    sys.argv[1:] = args
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
