"""Two real workers, whose Redis loses and holds commands if a test says so, and a provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.support import environment
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def gateway(proxy: RedisProxy, emulator: KavenegarEmulator) -> Iterator[Gateway]:
    with Gateway(environment(proxy.url, emulator)) as gateway:
        yield gateway
