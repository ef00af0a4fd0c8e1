"""Two real workers on an empty Redis, and a provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway
from tests.support.gateway import environment as gateway_environment
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer


@pytest.fixture
def environment(redis_server: RedisServer, emulator: KavenegarEmulator) -> dict[str, str]:
    limits = {"OTP_IP_LIMITS": "10000/minute", "TOKEN_IP_LIMITS": "10000/minute"}
    return gateway_environment(redis_server.url, emulator, **limits)


@pytest.fixture
def gateway(redis_server: RedisServer, environment: dict[str, str]) -> Iterator[Gateway]:
    redis_server.clear()
    with Gateway(environment, workers=2) as gateway:
        yield gateway
