"""Panels for the tests: on either store, codes going to the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otp_gateway.store.client import RedisClient
from tests.admin.support import RECORDERS, make_panel
from tests.api.support import Api
from tests.support.kavenegar import KavenegarEmulator


@pytest.fixture
def api(redis_client: RedisClient, emulator: KavenegarEmulator) -> Api:
    """The gateway with its panel, which shows codes."""
    return make_panel(redis_client, emulator=emulator, ADMIN_REVEAL_CODES=True)


@pytest.fixture(autouse=True)
def nothing_left_to_write() -> Iterator[None]:
    """Panels write in the background: what is left goes now, not into the next test's Redis."""
    yield
    for recorder in RECORDERS:
        recorder.flush()
        recorder._counts.clear()
    RECORDERS.clear()
