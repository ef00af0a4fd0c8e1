"""Fixtures for all folders of tests: real servers, started once, and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from otp_gateway.settings import Settings
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.support import needs_program, recording, searches
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

# The modules of tests read these settings when they are imported.
searches.prepare()

SECRET_KEY = "tests-only-secret-key-of-forty-characters"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ``make check`` leaves out, and put the modules that have some of them first.

    Several workers run the modules in this order. Tests that wait for programs take the longest. A long
    module at the end would run while the other workers are idle.
    """
    needs_program.mark(items)
    searches.mark(items)
    slow = {item.path for item in items if item.get_closest_marker("program")}
    items.sort(key=lambda item: item.path not in slow)


def make_settings(**variables: object) -> Settings:
    """Settings from the given variables only, among them a secret key."""
    values = {"SECRET_KEY": SECRET_KEY} | {name: str(value) for name, value in variables.items()}
    return Settings.load(values, dotenv=None)


@pytest.fixture(autouse=True)
def nothing_left_to_record() -> Iterator[None]:
    """A recorder writes every two seconds, so the events that a test leaves are dropped."""
    yield
    recording.forget()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis for the whole run; tests that stop or pause one start their own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["embedded", "redis"])
def redis_client(request: pytest.FixtureRequest) -> RedisClient:
    """An empty store of either kind: the same tests run on both."""
    if request.param == "embedded":
        return connect(None)
    server: RedisServer = request.getfixturevalue("redis_server")
    server.clear()
    return connect(server.url)


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[KavenegarEmulator]:
    """One provider for the whole run. Tests use ``emulator``, which is clean."""
    with KavenegarEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: KavenegarEmulator) -> Iterator[KavenegarEmulator]:
    """The provider, without messages and faults of earlier tests."""
    running_emulator.clear()
    yield running_emulator
    running_emulator.clear()


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Make settings from variables: ``settings(OTP_LENGTH=8)``."""
    return make_settings
