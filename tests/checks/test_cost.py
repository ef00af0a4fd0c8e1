"""The price of a text in the checklist."""

from __future__ import annotations

import pytest

from otp_gateway.store import connect
from tests.api.support import OTHER, PHONE, make_api
from tests.checks.support import checked
from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer
from tests.support.servers import free_port


def found(server: RedisServer, emulator: KavenegarEmulator, **variables: str) -> tuple[str, str]:
    report = checked(
        REDIS_URL=server.url,
        SECRET_KEY=SECRET_KEY,
        KAVENEGAR_API_KEY=emulator.api_key,
        KAVENEGAR_BASE_URL=emulator.base_url,
        **variables,
    )
    return report["cost"]


def test_the_price_of_a_text_is_what_the_provider_has_charged(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    redis_server.clear()
    unknown = ("ok", "the price of a text is not known yet: Kavenegar reports it with each send")
    assert found(redis_server, emulator) == unknown
    api = make_api(connect(redis_server.url), emulator=emulator)
    for phone in (PHONE, PHONE, OTHER):
        assert api.send(phone).status_code == 200
    # A send without a price does not change the average.
    emulator.set_fault(faults.code(418), action="sms/send")
    assert api.send(OTHER).status_code == 502
    emulator.set_fault(None)
    recording.write()
    expected = "a text costs 120 Rial on average: 3 messages of the last 30 days cost 360 Rial"
    assert found(redis_server, emulator) == ("ok", expected)


@pytest.mark.parametrize("backend", ["http", "console"])
def test_without_kavenegar_there_is_no_price(redis_server: RedisServer, backend: str) -> None:
    redis_server.clear()
    variables = {"SMS_HTTP_URL": "https://sms.example.com/{phone}/{code}"} if backend == "http" else {}
    report = checked(REDIS_URL=redis_server.url, SECRET_KEY=SECRET_KEY, SMS_BACKEND=backend, **variables)
    assert "cost" not in report.names


def test_a_redis_that_cannot_be_reached_gives_no_price(emulator: KavenegarEmulator) -> None:
    report = checked(
        REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        SECRET_KEY=SECRET_KEY,
        KAVENEGAR_API_KEY=emulator.api_key,
        KAVENEGAR_BASE_URL=emulator.base_url,
    )
    assert "cost" not in report.names
