"""The store's tests run on real Redis and on the embedded store."""

from __future__ import annotations

import pytest

from otp_gateway.store.client import RedisClient
from tests.store.bench import Bench


@pytest.fixture
def bench(redis_client: RedisClient) -> Bench:
    """An empty store with the contract's defaults."""
    return Bench(redis_client)
