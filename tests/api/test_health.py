"""Probes: the process answers; it can do its work, or which part cannot."""

from __future__ import annotations

import json

import pytest

from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import Api, assert_problem, make_api, retry_after
from tests.support.gateway import Gateway
from tests.support.redis_server import RedisServer
from tests.support.servers import free_port


def away(**variables: str) -> Api:
    """A gateway whose Redis is not there."""
    return make_api(connect(f"redis://127.0.0.1:{free_port()}/0"), None, None, **variables)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_answers_as_long_as_the_process_does(method: str) -> None:
    for api in (make_api(), away(), make_api(KAVENEGAR_API_KEY="")):
        reply = api.request(method, "/healthz")
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == "application/json"
        assert bool(reply.data) == (method == "GET")


def test_readyz_is_content_when_redis_answers_and_sms_is_configured(redis_client: RedisClient) -> None:
    reply = make_api(redis_client, KAVENEGAR_API_KEY="a-key").get("/readyz")
    assert reply.status_code == 200
    assert reply.json == {"status": "ready", "parts": {"redis": "ok", "sms": "ok"}}


def test_readyz_names_redis_when_it_is_away() -> None:
    reply = away(KAVENEGAR_API_KEY="a-key").get("/readyz")
    problem = assert_problem(reply, 503, "store_unavailable", members=["parts"])
    assert problem["parts"] == {"redis": "store_unavailable", "sms": "ok"}
    assert retry_after(reply) >= 1


def test_readyz_names_the_sms_service_when_it_has_no_key(redis_client: RedisClient) -> None:
    reply = make_api(redis_client, KAVENEGAR_API_KEY="").get("/readyz")
    problem = assert_problem(reply, 503, "sms_not_configured", members=["parts"])
    assert problem["parts"] == {"redis": "ok", "sms": "sms_not_configured"}


def test_readyz_names_both_when_both_are_missing() -> None:
    problem = assert_problem(
        away(KAVENEGAR_API_KEY="").get("/readyz"), 503, "store_unavailable", members=["parts"]
    )
    assert problem["parts"] == {"redis": "store_unavailable", "sms": "sms_not_configured"}


def test_the_console_needs_no_key() -> None:
    reply = make_api(KAVENEGAR_API_KEY="", SMS_BACKEND="console").get("/readyz")
    assert reply.status_code == 200


def test_readyz_tells_neither_address_nor_key() -> None:
    reply = away(KAVENEGAR_API_KEY="a-very-secret-key").get("/readyz")
    assert "127.0.0.1" not in reply.text
    assert "a-very-secret-key" not in reply.text


def test_probes_are_not_counted_and_not_limited() -> None:
    api = make_api(OTP_IP_LIMITS="1/minute", KAVENEGAR_API_KEY="a-key")
    for path in ("/healthz", "/readyz"):
        assert [api.get(path).status_code for _ in range(5)] == [200] * 5
    assert list(api.redis.scan_iter()) == []


def test_readiness_follows_redis_as_it_goes_and_comes() -> None:
    with RedisServer() as server:
        api = make_api(connect(server.url), KAVENEGAR_API_KEY="a-key")
        assert api.get("/readyz").status_code == 200
        server.kill()
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        assert api.send().status_code == 503
        server.start()
        assert api.get("/readyz").status_code == 200
        # Its scripts are gone with it, which no client notices.
        assert api.verify("+989123456789", "000000").status_code == 400


def test_a_running_gateway_is_ready(wire: Gateway) -> None:
    assert json.loads(wire.get("/readyz").content)["status"] == "ready"
