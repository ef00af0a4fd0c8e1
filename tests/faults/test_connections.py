"""A Redis with few connections, and bursts of requests against real gunicorn workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

MAXCLIENTS = 10
THREADS = 64


@pytest.fixture
def small() -> Iterator[RedisServer]:
    with RedisServer("--maxclients", str(MAXCLIENTS)) as server:
        yield server


@pytest.fixture
def observer(small: RedisServer) -> Iterator[redis.Redis]:
    """A client that holds one of the connections."""
    with small.client(single_connection_client=True) as client:
        yield client


@pytest.fixture
def gateway(small: RedisServer, observer: redis.Redis, emulator: KavenegarEmulator) -> Iterator[Gateway]:
    assert observer.ping()
    environment = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": small.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": "100000/minute",
    }
    with Gateway(environment, workers=2) as gateway:
        yield gateway


def request(gateway: Gateway, number: int) -> int:
    """Every third request sends a code, the others guess one."""
    phone = {"phone_number": f"+98912000{number:04d}"}
    if number % 3:
        return gateway.post("/api/v1/usr/otp/verify", phone | {"code": "000000"}, timeout=30).status_code
    return gateway.post("/api/v1/usr/otp", phone, timeout=30).status_code


def test_a_burst_does_not_use_up_the_connections_of_a_small_redis(
    gateway: Gateway, observer: redis.Redis
) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        burst = list(pool.map(lambda number: request(gateway, number), range(4 * THREADS)))
    assert set(burst) <= {200, 400, 429, 503}
    # There is no pause: half of these would get 503 if the workers kept their connections.
    following = [request(gateway, 1000 + number) for number in range(60)]
    assert set(following) == {200, 400}
    wait_until(lambda: len(observer.client_list(_type="normal")) == 1, "the connections to close")
    assert {request(gateway, 2000 + number) for number in range(6)} == {200, 400}
