"""A real Redis, the commands over it, and a gateway on the same Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from flask import Flask

from otp_gateway.store.connect import connect
from tests.api.support import Api, make_api
from tests.checks.support import commands, provider
from tests.conftest import make_settings
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    redis_server.clear()
    with redis_server.client() as client:
        yield client


@pytest.fixture
def app(redis_server: RedisServer, emulator: KavenegarEmulator, store: redis.Redis) -> Flask:
    """The commands over the real Redis and the emulator."""
    assert store.dbsize() == 0
    return commands(make_settings(REDIS_URL=redis_server.url, **provider(emulator)))


@pytest.fixture
def api(redis_server: RedisServer, emulator: KavenegarEmulator, store: redis.Redis) -> Api:
    """A gateway on the same Redis. The gate's mode refuses no request by itself."""
    assert store.dbsize() == 0
    return make_api(connect(redis_server.url), None, emulator)
