"""A full or read-only file system, a cleanup and a kill cost no request, and the metrics recover."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from otp_gateway.metrics.folder import PREFIX
from tests.api.support import PHONE, SEND, VERIFY
from tests.conftest import SECRET_KEY
from tests.metrics.support import Scrape, scrape
from tests.support.gateway import Gateway
from tests.support.programs import in_own_mounts
from tests.support.redis_server import RedisServer, wait_until

WORKERS = 2
REFRESH = "/api/v1/usr/token/refresh"
REVOKE = "/api/v1/usr/token/revoke"
UNSHARED = "only in its memory"
# The whole file system read-only, as in a container with --read-only.
READ_ONLY = """
while read -r _ path _; do
  case "$path" in /dev*|/proc*|/sys*) ;; *) mount -o remount,bind,ro "$path" ;; esac
done < /proc/self/mounts
! touch /tmp/probe /var/tmp/probe "$PWD/probe" 2>/dev/null
"""


@pytest.fixture
def environment(redis_server: RedisServer) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": "",
        "OTP_IP_LIMITS": "100000/minute",
        "TOKEN_IP_LIMITS": "100000/minute",
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The folder for a file system that a test's gateway mounts."""
    path = tmp_path / "small"
    path.mkdir()
    return path


def mounted(path: Path, *, size: str = "64k", full: bool = False) -> str:
    """A script that mounts a small file system; with ``full``, all of it is in use."""
    script = f"mount -t tmpfs -o size={size},mode=1777 none {path}"
    return f"{script}\nhead -c 1M /dev/zero > {path}/fill 2>/dev/null || true" if full else script


def seen_by(gateway: Gateway, path: Path) -> Path:
    """The path in the mount namespace of the gateway."""
    return Path(f"/proc/{gateway.pid}/root{path}")


def fill(path: Path) -> None:
    with (path / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(path).f_bavail == 0


def ask(gateway: Gateway, times: int) -> None:
    """Requests with outcomes of their own. Each of them must be answered."""
    for _ in range(times):
        assert gateway.post(VERIFY, {"phone_number": PHONE, "code": "x"}).status_code == 400


def ask_every_worker(gateway: Gateway, small: Path) -> int:
    """Send requests until every worker has a place for their outcome; return the number of requests."""

    def have_one() -> int:
        files = seen_by(gateway, small).glob(f"{PREFIX}*/counter_*.db")
        return sum(b"invalid_request" in file.read_bytes() for file in files)

    for asked in range(1, 500):
        ask(gateway, 1)
        if have_one() == WORKERS:
            return asked
    raise AssertionError("one worker gets no request")


def ask_everything(gateway: Gateway) -> None:
    """Requests that need places for new values in every worker: other routes, methods, statuses, outcomes."""
    for path in ("/", "/docs", "/openapi.json", "/.well-known/jwks.json", "/healthz", "/readyz", "/missing"):
        assert gateway.get(path).status_code in (200, 404, 503)
        assert gateway.post(path, {}).status_code in (404, 405)
        assert gateway.request("DELETE", path).status_code in (404, 405)
    for path in (SEND, REFRESH, REVOKE):
        assert gateway.post(path, {}).status_code == 400
        assert gateway.post(path, data="x").status_code == 415


def wait_for(gateway: Gateway, condition: Callable[[Scrape], bool], what: str) -> Scrape:
    """Wait for a scrape. Each worker looks at its files when it counts a request, so this sends requests."""
    found: list[Scrape] = []

    def is_met() -> bool:
        for _ in range(2 * WORKERS):
            gateway.get("/healthz")
        found[:] = [scrape(gateway)]
        return condition(found[0])

    wait_until(is_met, what, timeout=60)
    return found[0]


def is_shared(now: Scrape) -> bool:
    return now.value("metrics_shared") == 1


def verifies(now: Scrape) -> float:
    return now.value("verifies_total", outcome="invalid_request")


def test_a_file_system_that_is_full_from_the_start_costs_no_request(
    environment: dict[str, str], small: Path
) -> None:
    prefix = in_own_mounts(mounted(small, size="512k", full=True))
    with Gateway(environment | {"METRICS_DIR": str(small)}, workers=WORKERS, prefix=prefix) as gateway:
        workers = gateway.workers
        ask(gateway, 30)
        ask_everything(gateway)
        assert {scrape(gateway).value("metrics_shared") for _ in range(10)} == {0}
        assert gateway.log().count(UNSHARED) == WORKERS
        assert "SIGBUS" not in gateway.log()

        (seen_by(gateway, small) / "fill").unlink()

        now = wait_for(gateway, is_shared, "shared metrics")
        assert verifies(now) == 30
        # The same processes: no worker was replaced meanwhile.
        assert gateway.workers == workers
        assert gateway.log().count(UNSHARED) == WORKERS


def test_a_file_system_that_becomes_full_costs_no_request(environment: dict[str, str], small: Path) -> None:
    prefix = in_own_mounts(mounted(small))
    with Gateway(environment | {"METRICS_DIR": str(small)}, workers=WORKERS, prefix=prefix) as gateway:
        workers = gateway.workers
        counted = ask_every_worker(gateway, small) + 10
        assert is_shared(scrape(gateway))
        fill(seen_by(gateway, small))

        for _ in range(5):
            ask_everything(gateway)
            ask(gateway, 2)

        now = scrape(gateway)
        assert now.value("metrics_shared") == 0
        # Values that have a place are counted and shared as before.
        assert verifies(now) == counted
        assert gateway.workers == workers
        assert "SIGBUS" not in gateway.log()
        assert 1 <= gateway.log().count(UNSHARED) <= WORKERS

        (seen_by(gateway, small) / "fill").unlink()

        # All values may need more than 64 kB, so only the first ones are compared.
        assert verifies(wait_for(gateway, lambda now: verifies(now) == counted, "the counts")) == counted


@pytest.mark.parametrize("full", [False, True])
def test_a_read_only_container_with_one_tmpfs_starts(
    environment: dict[str, str],
    small: Path,
    full: bool,
) -> None:
    prefix = in_own_mounts(READ_ONLY + mounted(small, full=full))
    with Gateway(environment | {"TMPDIR": str(small)}, workers=WORKERS, prefix=prefix) as gateway:
        ask(gateway, 20)
        assert is_shared(scrape(gateway)) is not full
        assert full or verifies(scrape(gateway)) == 20
        assert seen_by(gateway, small).glob(f"{PREFIX}*")


def test_the_operator_chooses_the_places_in_a_read_only_container(
    environment: dict[str, str], small: Path
) -> None:
    prefix = in_own_mounts(READ_ONLY + mounted(small))
    places = {"METRICS_DIR": f"{small}/metrics", "GUNICORN_CMD_ARGS": f"--worker-tmp-dir {small}"}
    with Gateway(environment | places, workers=WORKERS, prefix=prefix) as gateway:
        ask(gateway, 20)
        now = scrape(gateway)
        assert is_shared(now)
        assert verifies(now) == 20
        assert list((seen_by(gateway, small) / "metrics").glob(f"{PREFIX}*"))
        opened = {str(file.readlink()) for file in Path(f"/proc/{gateway.pid}/fd").iterdir()}
        assert [name for name in opened if name.startswith(f"{small}/wgunicorn-")]


def test_a_read_only_metrics_dir_costs_no_request(environment: dict[str, str], small: Path) -> None:
    prefix = in_own_mounts(f"mount -t tmpfs -o ro none {small}")
    with Gateway(environment | {"METRICS_DIR": str(small)}, workers=WORKERS, prefix=prefix) as gateway:
        ask(gateway, 20)
        assert not is_shared(scrape(gateway))
        assert gateway.log().count("do not share their metrics") == 1
        assert UNSHARED not in gateway.log()


def test_a_missing_metrics_dir_costs_no_request(environment: dict[str, str], tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "metrics"
    with Gateway(environment | {"METRICS_DIR": str(missing)}, workers=WORKERS) as gateway:
        ask(gateway, 20)
        assert not is_shared(scrape(gateway))
        assert gateway.log().count("do not share their metrics") == 1


def test_a_cleanup_of_the_folder_loses_no_count(environment: dict[str, str], tmp_path: Path) -> None:
    with Gateway(environment | {"METRICS_DIR": str(tmp_path)}, workers=WORKERS) as gateway:
        ask(gateway, 20)
        [folder] = tmp_path.glob(f"{PREFIX}*")
        shutil.rmtree(folder)
        ask(gateway, 10)
        wait_for(gateway, lambda now: is_shared(now) and verifies(now) == 30, "all counts")
        shutil.rmtree(folder)
        os.kill(gateway.workers[0], signal.SIGKILL)
        wait_until(lambda: len(gateway.workers) == WORKERS, "a new worker")
        wait_for(
            gateway, lambda now: is_shared(now) and verifies(now) >= 1, "the counts of the running worker"
        )
        assert UNSHARED not in gateway.log()


def test_two_gateways_with_one_metrics_dir_do_not_mix(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"METRICS_DIR": str(tmp_path)}
    with (
        Gateway(environment, workers=1) as one,
        Gateway(environment, workers=1) as other,
    ):
        ask(one, 10)
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 2
        assert verifies(scrape(one)) == 10
        assert verifies(scrape(other)) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_next_start_removes_the_folder_of_a_killed_gateway(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"METRICS_DIR": str(tmp_path)}
    with Gateway(environment, workers=1) as running:
        with Gateway(environment, workers=1) as killed:
            workers = killed.workers
            before = set(tmp_path.iterdir())
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait_exit()
            # It ends because its master has ended.
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "its end")
        assert set(tmp_path.iterdir()) == before
        ask(running, 5)
        with Gateway(environment, workers=1):
            assert len(before & set(tmp_path.iterdir())) == 1
        assert verifies(scrape(running)) == 5
        assert is_shared(scrape(running))
