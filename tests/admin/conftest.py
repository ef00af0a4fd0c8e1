"""Panels for the tests, on either store. Codes are sent to the emulator."""

from __future__ import annotations

import pytest

from otp_gateway.store.client import RedisClient
from tests.admin.support import make_panel
from tests.api.support import Api
from tests.support.kavenegar import KavenegarEmulator


@pytest.fixture
def api(redis_client: RedisClient, emulator: KavenegarEmulator) -> Api:
    """The gateway with its panel, which shows codes."""
    return make_panel(redis_client, emulator=emulator, ADMIN_REVEAL_CODES=True)
