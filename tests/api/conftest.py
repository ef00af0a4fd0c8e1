"""Gateways for the tests of the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otp_gateway.store.client import RedisClient
from tests.api.support import Api, Recorder, make_api
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer


@pytest.fixture
def api(redis_client: RedisClient, emulator: KavenegarEmulator) -> Api:
    """The whole gateway on either store. It sends SMS to the emulator over HTTP."""
    return make_api(redis_client, emulator=emulator)


@pytest.fixture
def sender() -> Recorder:
    """A sender that delivers everything and remembers it."""
    return Recorder()


@pytest.fixture(scope="session")
def wire(running_emulator: KavenegarEmulator) -> Iterator[Gateway]:
    """One gunicorn with a Redis of its own, with high limits. It is set to trust two proxies."""
    with (
        RedisServer() as server,
        Gateway(
            {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": server.url,
                "KAVENEGAR_API_KEY": running_emulator.api_key,
                "KAVENEGAR_BASE_URL": running_emulator.base_url,
                "OTP_IP_LIMITS": "1000/minute",
                "OTP_PHONE_LIMITS": "1000/minute",
                "TRUSTED_PROXIES": "2",
            }
        ) as gateway,
    ):
        yield gateway
