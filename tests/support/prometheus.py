"""A real Prometheus on 127.0.0.1 and a free port."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import requests

from tests.support.programs import require_program
from tests.support.redis_server import wait_until
from tests.support.servers import free_port


class Prometheus:
    """Prometheus with the configuration file; a context manager. Its data are removed at the end."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="prometheus-")
        self._session = requests.Session()
        self._session.trust_env = False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector, now; AssertionError with Prometheus's message if it refuses."""
        found = self._ask("query", query=expression, time=str(time.time()))
        assert found["resultType"] == "vector", expression
        result: list[dict[str, Any]] = found["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health and active alerts."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def __enter__(self) -> Self:
        log = Path(self._directory.name) / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    require_program("prometheus"),
                    f"--config.file={self._config}",
                    f"--storage.tsdb.path={self._directory.name}/data",
                    f"--web.listen-address={self._url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self._ready, "Prometheus")
        except BaseException as error:
            error.add_note(log.read_text(errors="replace")[-2000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            # Prometheus need not write its data: they are removed here.
            self._process.kill()
            self._process.wait()
        self._session.close()
        self._directory.cleanup()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Prometheus has ended"
        try:
            return self._session.get(f"{self._url}/-/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        reply = self._session.get(f"{self._url}/api/v1/{what}", params=parameters, timeout=10).json()
        assert reply["status"] == "success", (reply, parameters)
        data: dict[str, Any] = reply["data"]
        return data
