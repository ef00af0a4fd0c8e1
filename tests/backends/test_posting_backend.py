"""A backend that posts for its users, as docs/OPERATIONS.md shows it: each user has an own limit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT, Gateway
from tests.support.nginx import Nginx
from tests.support.redis_server import RedisServer

OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
SECTION = OPERATIONS.partition("\n## A backend that posts for its users\n")[2].partition("\n## ")[0]
EXAMPLE, SITE = re.findall(r"^```\w+\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
OTP = "/api/v1/usr/otp"
USERS = ("203.0.113.1", "203.0.113.2")
# The default of OTP_IP_LIMITS, and one request more.
STATUSES = [400] * 5 + [429]
BACKEND, BROWSER = "127.0.0.8", "127.0.0.7"


@pytest.fixture
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    redis_server.clear()
    env = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "SMS_BACKEND": "console",
        "TRUSTED_PROXIES": "1",
    }
    with Gateway(env, workers=1) as gateway:
        yield gateway


@pytest.fixture
def send_code(gateway: Gateway) -> Callable[[str, str], requests.Response]:
    assert EXAMPLE.count("http://10.0.0.5:8000") == 1
    names: dict[str, object] = {}
    exec(EXAMPLE.replace("http://10.0.0.5:8000", gateway.url), names)  # noqa: S102  # our own document
    found = names["send_code"]
    assert callable(found)
    return found


def test_each_user_of_a_backend_that_passes_on_addresses_has_an_own_limit(
    send_code: Callable[[str, str], requests.Response],
) -> None:
    # Texts that are not numbers: only the address is counted.
    for user in USERS:
        assert [send_code("0912", user).status_code for _ in STATUSES] == STATUSES
    assert send_code("09123456789", "2001:db8::1").status_code == 200


def test_without_the_header_all_users_of_a_backend_share_one_limit(gateway: Gateway) -> None:
    statuses = [gateway.post(OTP, {"phone_number": "0912"}).status_code for _ in STATUSES]
    assert statuses == STATUSES


def test_nginx_takes_the_address_of_a_user_from_the_backend_and_from_no_other_client(
    gateway: Gateway,
) -> None:
    assert SITE.count("10.0.0.8") == 1
    with ExitStack() as stack:
        site = SITE.replace("10.0.0.8", BACKEND)
        nginx = stack.enter_context(Nginx([gateway.port, gateway.port], before=site))
        backend, browser = nginx.session(BACKEND), nginx.session(BROWSER)

        def statuses(client: requests.Session, address: str) -> list[int]:
            headers = {"X-Forwarded-For": address}
            url = nginx.origin + OTP
            return [client.post(url, json={}, headers=headers, timeout=15).status_code for _ in STATUSES]

        for user in USERS:
            assert statuses(backend, user) == STATUSES
        # A client other than the backend counts by its own address, whatever its headers say.
        assert statuses(browser, "203.0.113.3") == STATUSES
        assert statuses(browser, "203.0.113.4") == [429] * len(STATUSES)
        assert statuses(backend, "203.0.113.3") == STATUSES
