"""Two real workers on an empty Redis, and a provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer


@pytest.fixture
def environment(redis_server: RedisServer, emulator: KavenegarEmulator) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": "10000/minute",
        "TOKEN_IP_LIMITS": "10000/minute",
    }


@pytest.fixture
def gateway(redis_server: RedisServer, environment: dict[str, str]) -> Iterator[Gateway]:
    redis_server.clear()
    with Gateway(environment, workers=2) as gateway:
        yield gateway
