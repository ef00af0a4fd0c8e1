"""The panel behind gunicorn: two workers share one count, and query the provider once a minute."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import redis
import requests

from tests.admin.support import LOGIN, PASSWORD, PASSWORD_HASH, TOKENS, USAGE, eternal, everything, token_in
from tests.api.support import PHONE, SEND, VERIFY, wrong
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until


@dataclass
class Site:
    """A gateway with two workers, its Redis and its provider."""

    gateway: Gateway
    store: redis.Redis
    emulator: KavenegarEmulator

    def count(self, name: str) -> int:
        return sum(int(self.store.hget(key, name) or 0) for key in self.store.scan_iter("*usage*:week:*"))


@pytest.fixture
def site() -> Iterator[Site]:
    with (
        RedisServer() as server,
        KavenegarEmulator() as emulator,
        Gateway(
            {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": server.url,
                "KAVENEGAR_API_KEY": emulator.api_key,
                "KAVENEGAR_BASE_URL": emulator.base_url,
                "OTP_IP_LIMITS": "1000/minute",
                "OTP_PHONE_LIMITS": "1000/minute",
                "ADMIN_PASSWORD_HASH": PASSWORD_HASH,
            }
        ) as gateway,
        server.client() as store,
    ):
        yield Site(gateway, store, emulator)


def signed_in(site: Site) -> dict[str, str]:
    """The cookie of a session."""
    page = site.gateway.get(LOGIN)
    form = {"csrf": token_in(page.text), "password": PASSWORD}
    reply = site.gateway.post(LOGIN, data=form, cookies=page.cookies.get_dict(), allow_redirects=False)
    assert reply.status_code == 302
    return reply.cookies.get_dict()


def send(site: Site, number: int) -> requests.Response:
    return site.gateway.post(SEND, {"phone_number": f"+98912{number:07d}"})


def test_two_workers_count_together_and_a_stopped_one_writes_what_it_has(site: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {reply.status_code for reply in pool.map(lambda n: send(site, n), range(40))} == {200}
    started = time.monotonic()
    wait_until(lambda: site.count("sent") == 40, "the counts", timeout=5)
    assert time.monotonic() - started < 5
    wait_until(lambda: site.count("cost") == 40 * 120, "the cost", timeout=5)
    code = site.emulator.code_for("+989120000001")
    for guess in (wrong(code), code):
        site.gateway.post(VERIFY, {"phone_number": "+989120000001", "code": guess})
    site.gateway.stop()
    assert (site.count("verified"), site.count("verified:invalid_code")) == (1, 1)
    assert (site.count("sent"), site.count("cost")) == (40, 4800)
    assert eternal(site.store) == set()


def test_both_workers_know_the_session_and_ask_for_the_account_once(site: Site) -> None:
    cookies = signed_in(site)
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda n: site.gateway.get((TOKENS, USAGE)[n % 2], cookies=cookies), range(32)))
    assert {(page.status_code, page.url.endswith(LOGIN)) for page in pages} == {(200, False)}
    assert sum(request.action == "account/info" for request in site.emulator.requests) == 1


def test_fifty_logins_at_once_meet_the_limit_of_the_address_and_leave_the_lock(site: Site) -> None:
    page = site.gateway.get(LOGIN)
    form = {"csrf": token_in(page.text), "password": "wrong"}
    cookies = page.cookies.get_dict()

    def guess(_: int) -> int:
        return site.gateway.post(LOGIN, data=form, cookies=cookies).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(guess, range(50)))
    assert set(statuses) == {403, 429} or set(statuses) == {429}
    assert statuses.count(403) <= 5
    right = site.gateway.post(LOGIN, data=form | {"password": PASSWORD}, cookies=cookies)
    assert right.status_code == 429


def test_neither_log_nor_redis_learns_a_number_that_is_searched_for(site: Site) -> None:
    send(site, 3456789)
    cookies = signed_in(site)
    page = site.gateway.get(TOKENS, cookies=cookies)
    form = {"csrf": token_in(page.text), "phone": "0912 345 6789"}
    found = site.gateway.post(TOKENS, data=form, cookies=cookies)
    assert found.status_code == 200
    assert re.search(rf"{TOKENS}[A-Za-z0-9_-]{{22}}/$", found.url)
    for text in (site.gateway.log(), everything(site.store), found.text):
        assert PHONE[3:] not in text
        assert "345 6789" not in text
