"""The memory for guesses at the panel's password, in a real gunicorn worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from werkzeug.security import generate_password_hash

from tests.admin.support import LOGIN, PASSWORD, token_in
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer

GUESSES = 64
ADDRESSES = 13
# Two comparisons take 64 MiB. Without a bound, the guesses below took 2 GiB.
LARGEST_GROWTH_MIB = 150


@pytest.fixture
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    redis_server.clear()
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "TRUSTED_PROXIES": "1",
        # As the command hash-password makes it: each comparison takes 32 MiB.
        "ADMIN_PASSWORD_HASH": generate_password_hash(PASSWORD),
    }
    with Gateway(environment, workers=1) as gateway:
        yield gateway


class Browser:
    """A login form that is filled in, and not yet sent."""

    def __init__(self, gateway: Gateway, address: int) -> None:
        self._gateway = gateway
        self._headers = {"X-Forwarded-For": f"198.51.100.{address}"}
        page = gateway.get(LOGIN, headers=self._headers)
        # Marked as Secure, because there is a proxy in front.
        self._headers["Cookie"] = page.headers["Set-Cookie"].partition(";")[0]
        self._csrf = token_in(page.text)

    def log_in(self, password: str) -> requests.Response:
        form = {"csrf": self._csrf, "password": password}
        return self._gateway.post(LOGIN, data=form, headers=self._headers, allow_redirects=False, timeout=60)


def largest_memory(pid: int) -> float:
    """The most memory that the process has had at any time, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def failures(redis: RedisServer) -> int:
    with redis.client() as client:
        return sum(int(client.get(key) or 0) for key in client.scan_iter("admin:failures:*"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc, which counts the memory")
def test_many_guesses_at_once_take_little_memory_and_lock_no_other_operator_out(
    gateway: Gateway, redis_server: RedisServer
) -> None:
    browsers = [Browser(gateway, 1 + number % ADDRESSES) for number in range(GUESSES)]
    (worker,) = gateway.workers
    before = largest_memory(worker)

    with ThreadPoolExecutor(GUESSES) as pool:
        replies = list(pool.map(lambda browser: browser.log_in("wrong"), browsers))

    assert largest_memory(worker) - before < LARGEST_GROWTH_MIB
    busy = [reply for reply in replies if "Try again in a second" in reply.text]
    assert busy
    assert {(reply.status_code, reply.headers["Retry-After"]) for reply in busy} == {(429, "1")}
    # A guess that was not compared is not counted as a wrong one.
    assert failures(redis_server) == GUESSES - len(busy) > 0
    assert Browser(gateway, 200).log_in(PASSWORD).status_code == 302
