"""The check compares the networks of the last day. One with most of the requests is not a user."""

from __future__ import annotations

import pytest

from otp_gateway.codes import random_id
from otp_gateway.events import Batch, Event, LoginEvent, SendEvent
from otp_gateway.store import connect
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.usage import UsageStore
from tests.checks.support import checked
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

SEND = "/api/v1/usr/otp"


def record(redis: RedisServer, sends: dict[str, int], logins: dict[str, int]) -> None:
    """Sends and logins by network, as a worker writes them."""
    redis.clear()
    store = connect(redis.url)
    about = {"pid": "p", "masked": "+98912***6789", "prefix": "98912", "at": 0}
    events: list[Event] = [
        *(
            SendEvent(**about, client=client, id=random_id(), channel="sms", outcome="sent")  # type: ignore[arg-type]  # the types of a dict's values
            for client, number in sends.items()
            for _ in range(number)
        ),
        *(
            LoginEvent(**about, client=client, id=random_id())  # type: ignore[arg-type]  # as above
            for client, number in logins.items()
            for _ in range(number)
        ),
    ]
    UsageStore(store, Scripts(store)).write(Batch(random_id(), events, {}))


@pytest.mark.parametrize(
    ("sends", "logins", "status", "words"),
    [
        ({"backend": 15, "a": 3, "b": 2}, {"backend": 9}, "warning", "83% of 29 sends and logins"),
        ({"backend": 20}, {}, "warning", "100% of 20"),
        # Exactly half is not more than half.
        ({"a": 10, "b": 10}, {}, "ok", "no network made more than half of 20"),
        ({"a": 11, "b": 10}, {}, "warning", "52% of 21"),
        ({"a": 19}, {}, "ok", "only 19"),
        ({}, {}, "ok", "only 0"),
        # More networks than a tally can hold.
        ({**{f"n{n}": 1 for n in range(300)}, "backend": 310}, {}, "warning", "51% of 610"),
    ],
    ids=["a backend", "only one", "half", "just above half", "too few", "nothing", "many"],
)
def test_a_network_with_more_than_half_of_the_requests_is_a_warning(
    redis_server: RedisServer, sends: dict[str, int], logins: dict[str, int], status: str, words: str
) -> None:
    record(redis_server, sends, logins)
    found, message = checked(REDIS_URL=redis_server.url)["networks"]
    assert found == status
    assert words in message
    if status == "warning":
        assert "TRUSTED_PROXIES" in message
        assert f"client {max(sends, key=lambda name: sends[name])} in the log" in message


def test_without_redis_the_networks_are_not_compared() -> None:
    assert "networks" not in checked().names
    message = "not checked: Redis does not answer (unreachable)"
    assert checked(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")["networks"] == ("warning", message)


@pytest.mark.parametrize(("proxies", "status"), [("0", "warning"), ("1", "ok")])
def test_a_proxy_that_counts_as_one_client_is_found_in_the_requests_of_a_day(
    redis_server: RedisServer, emulator: KavenegarEmulator, proxies: str, status: str
) -> None:
    redis_server.clear()
    env = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "TRUSTED_PROXIES": proxies,
        "OTP_IP_LIMITS": "1000/minute",
    }
    with Gateway(env) as gateway:
        for n in range(24):
            headers = {"X-Forwarded-For": f"203.0.113.{n + 1}"}
            body = {"phone_number": f"+98912{n:07d}"}
            assert gateway.post(SEND, body, headers=headers).status_code == 200
        # The workers write them within two seconds.
        wait_until(lambda: "24 sends" in checked(REDIS_URL=redis_server.url)["networks"][1], "the records")
        assert checked(REDIS_URL=redis_server.url).of("networks") == status
