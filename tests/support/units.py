"""An imitation of systemd: runs one instance of the units in deploy/ as their directives say.

It follows the directives of `_OBEYED`. It accepts those of `_ELSEWHERE`, because only a booted systemd can
follow them (the sandbox, the user, the order of units). It refuses a file that has any other directive.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tests.support.gateway import ROOT

DEPLOY = ROOT / "deploy"
HOME = "/opt/otp-gateway"
ENVIRONMENT_FILE = "/etc/otp-gateway.env"
RUN = "/run/otp-gateway-"
_PATIENCE = 30.0
_OBEYED = {
    "Socket": {"ListenStream", "Backlog"},
    "Service": {
        "Type",
        "WorkingDirectory",
        "Environment",
        "EnvironmentFile",
        "ExecStart",
        "ExecReload",
        "KillMode",
        "TimeoutStopSec",
        "PrivateTmp",
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
    },
}
_ELSEWHERE = {
    "Unit": {"Description", "Requires", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"},
    "Install": {"WantedBy"},
    "Socket": set[str](),
    "Service": {
        "User",
        "Restart",
        "RestartSec",
        "NoNewPrivileges",
        "CapabilityBoundingSet",
        "PrivateDevices",
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
        "ProtectClock",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectControlGroups",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "LockPersonality",
        "SystemCallArchitectures",
        "SystemCallFilter",
        "SystemCallErrorNumber",
        "UMask",
    },
}
# systemd does this between fork and exec: the socket becomes descriptor 3, and LISTEN_PID the process itself.
_EXEC = """
import os, sys
passed = int(sys.argv[1])
if passed != 3:
    os.dup2(passed, 3)
    os.close(passed)
os.set_inheritable(3, True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
_CREDENTIALS = struct.Struct("3i")

Unit = dict[str, dict[str, list[str]]]


def read_unit(text: str, instance: str) -> Unit:
    """Sections, keys and values in order, with ``%i`` replaced; ValueError for an unknown directive."""
    unit: Unit = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, equals, value = line.partition("=")
        if not equals or key not in _OBEYED.get(section, set()) | _ELSEWHERE[section]:
            raise ValueError(f"[{section}] {line}: the stand-in does not know it")
        value = value.replace("%i", instance)
        if "%" in value:
            raise ValueError(f"{line}: a specifier that the stand-in does not know")
        unit[section][key].append(value)
    return unit


def install_units(directory: Path, environment: Mapping[str, str]) -> Path:
    """Do on `directory` what deploy/README.md does on a host; return the folder of the units.

    The checkout consists of links to this one, without a developer's .env. The virtual environment is this
    one.
    """
    home = directory / "otp-gateway"
    home.mkdir()
    for name in ("otp_gateway", "gunicorn.conf.py", "wsgi.py"):
        (home / name).symlink_to(ROOT / name)
    (home / ".venv").symlink_to(sys.prefix)
    file = directory / "otp-gateway.env"
    file.write_text("".join(f'{name}="{value}"\n' for name, value in environment.items()), encoding="utf-8")
    units = directory / "units"
    units.mkdir()
    run = directory / "run"
    run.mkdir()
    for name, homes, files, runs in (("otp-gateway@.service", 3, 1, 2), ("otp-gateway@.socket", 0, 0, 0)):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        assert (text.count(HOME), text.count(ENVIRONMENT_FILE), text.count(RUN)) == (homes, files, runs), name
        text = text.replace(HOME, str(home)).replace(ENVIRONMENT_FILE, str(file))
        text = text.replace(RUN, f"{run}/otp-gateway-")
        (units / name).write_text(text, encoding="utf-8")
    return units


class Service:
    """One instance of ``otp-gateway@`` and its socket; a context manager that starts and stops both.

    With ``hold_socket=False`` there is no socket unit: gunicorn opens the port itself, as without systemd.
    """

    def __init__(self, units: Path, port: int, *, hold_socket: bool = True) -> None:
        self.port = port
        # Whether a process had to be killed by SIGKILL.
        self.killed = False
        self._socket_unit = _unit(units, "socket", port)["Socket"]
        self._unit = _unit(units, "service", port)["Service"]
        self._hold = hold_socket
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._cleared = 0
        self._private = Path(tempfile.mkdtemp(prefix="private-"))
        # install_units has put it next to the units.
        self.runtime = units.parent / "run" / self._value("RuntimeDirectory")

    @property
    def pid(self) -> int:
        """The process id of the main process."""
        return self._running().pid

    def log(self) -> str:
        """All that the service has written since `clear`, over its restarts."""
        size = os.fstat(self._output.fileno()).st_size - self._cleared
        return os.pread(self._output.fileno(), size, self._cleared).decode(errors="replace")

    def clear(self) -> None:
        """Forget the log so far."""
        self._cleared = os.fstat(self._output.fileno()).st_size

    def start(self) -> None:
        """Open the socket if needed, start the service, and wait until it reports that it is ready."""
        assert self._value("Type") == "notify"
        self.runtime.mkdir(mode=int(self._value("RuntimeDirectoryMode"), 8), exist_ok=True)
        if self._hold and self._listener is None:
            self._listener = self._listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            address = self._private / "notify"
            notices.bind(str(address))
            notices.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            notices.settimeout(_PATIENCE)
            try:
                self._process = self._spawn({"NOTIFY_SOCKET": str(address)})
                self._await_ready(notices)
            finally:
                address.unlink()

    def stop(self) -> int:
        """Stop the service and leave the socket open, as a restart does. The main process's exit status."""
        assert self._value("KillMode") == "mixed"
        process = self._running()
        process.terminate()
        try:
            process.wait(float(self._value("TimeoutStopSec")))
        except subprocess.TimeoutExpired:
            self.killed = True
        # With `mixed`, the other processes get no more time after the main process has ended.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            self.killed = True
        self._process = None
        shutil.rmtree(self.runtime, ignore_errors=True)
        # PrivateTmp: the files that the service has left are removed with it.
        for path in self._private.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return process.wait()

    def restart(self) -> None:
        """``systemctl restart``; the exit status must be 0."""
        status = self.stop()
        if status != 0:
            raise RuntimeError(f"the gateway ended with status {status}:\n{self.log()[-4000:]}")
        self.start()

    def reload(self) -> bool:
        """``systemctl reload``: one command after the other; False if one fails, which ends the sequence."""
        for command in self._unit["ExecReload"]:
            words = [word.replace("$MAINPID", str(self.pid)) for word in shlex.split(command)]
            done = subprocess.run(
                words,
                cwd=self._value("WorkingDirectory"),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_PATIENCE,
            )
            if done.returncode != 0:
                return False
        return True

    def workers(self) -> set[int]:
        """The children of the main process."""
        return children_of(self.pid)

    def has_waiting(self) -> bool:
        """Whether a connection on the held socket waits for the service."""
        if self._listener is None:
            raise RuntimeError("no socket is held")
        return bool(select.select([self._listener], [], [], 0)[0])

    def release(self) -> None:
        """Stop the socket unit: from now on connections are refused."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Stop both and remove the output."""
        try:
            if self._process is not None:
                self.stop()
        finally:
            self.release()
            self._output.close()
            shutil.rmtree(self._private, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the service does not run")
        return self._process

    def _value(self, key: str) -> str:
        (value,) = self._unit[key]
        return value

    def _listen(self) -> socket.socket:
        (address,) = self._socket_unit["ListenStream"]
        (backlog,) = self._socket_unit["Backlog"]
        host, _, port = address.partition(":")
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(int(backlog))
        return listener

    def _environment(self) -> dict[str, str]:
        found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
        assert self._value("PrivateTmp") == "yes"
        found["TMPDIR"] = str(self._private)
        for line in self._unit["Environment"]:
            found |= dict(word.split("=", 1) for word in shlex.split(line))
        # Read again at every start and reload.
        for line in Path(self._value("EnvironmentFile")).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            found[name] = value.removeprefix('"').removesuffix('"')
        return found

    def _spawn(self, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = shlex.split(self._value("ExecStart"))
        descriptors = []
        environment = {**self._environment(), **more}
        if self._listener is not None:
            descriptors = [self._listener.fileno()]
            command = [sys.executable, "-I", "-S", "-c", _EXEC, str(descriptors[0]), *command]
            environment["LISTEN_FDS"] = "1"
        return subprocess.Popen(
            command,
            cwd=self._value("WorkingDirectory"),
            env=environment,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # Takes the place of the control group.
            start_new_session=True,
        )

    def _await_ready(self, notices: socket.socket) -> None:
        process = self._running()
        while True:
            try:
                message, extra, _, _ = notices.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            except TimeoutError:
                raise RuntimeError(f"not ready in {_PATIENCE:g} s:\n{self.log()[-4000:]}") from None
            (pid, _, _) = _CREDENTIALS.unpack(extra[0][2])
            # NotifyAccess=main, the default of Type=notify.
            if pid == process.pid and b"READY=1" in message.splitlines():
                return


def children_of(pid: int) -> set[int]:
    """The processes that this one has started and that still run."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(child) for child in children.split()}


def _unit(units: Path, kind: str, port: int) -> Unit:
    return read_unit((units / f"otp-gateway@.{kind}").read_text(encoding="utf-8"), str(port))
