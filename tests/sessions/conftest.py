"""Stores for the tests of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest
import redis

from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.sessions.site import Site
from tests.support.redis_server import RedisServer

MakeSite = Callable[..., Site]


@pytest.fixture
def store(redis_client: RedisClient) -> Iterator[redis.Redis]:
    """An empty store of either kind."""
    client = cast("redis.Redis", redis_client)
    yield client
    client.close()


@pytest.fixture
def real_store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """An empty real Redis."""
    client = cast("redis.Redis", connect(redis_server.url))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def embedded_store() -> Iterator[redis.Redis]:
    """An empty embedded store, for tests that do not depend on the store."""
    client = cast("redis.Redis", connect(None))
    yield client
    client.close()


@pytest.fixture
def site(store: redis.Redis) -> Site:
    """A gateway with the defaults over either store."""
    return Site(store)
