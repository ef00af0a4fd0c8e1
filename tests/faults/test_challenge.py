"""The solution of a challenge is good for one send, also if Redis loses replies or answers too late."""

from __future__ import annotations

import time

import pytest
import requests

from tests.faults.support import environment, sha, snapshot
from tests.support import kavenegar_faults as faults
from tests.support.challenges import easy_solution, encoded, solved
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"


def send(gateway: Gateway, solution: str) -> requests.Response:
    return gateway.post("/api/v1/usr/otp", {"phone_number": PHONE, "challenge": solution})


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_lost_reply_uses_the_solution_for_one_send(
    gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, losses: int
) -> None:
    solution = easy_solution(PHONE)
    proxy.drop_replies(losses, sha("issue"))

    assert send(gateway, solution).status_code == 200
    assert proxy.dropped == losses
    assert send(gateway, solution).json()["code"] == "invalid_challenge"
    assert len(emulator.messages) == 1


def test_a_lost_reply_of_a_withdrawal_frees_the_solution_once(
    gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, server: RedisServer
) -> None:
    solution = easy_solution(PHONE)
    emulator.fault = faults.code(418)
    proxy.drop_replies(2, sha("withdraw"))
    assert send(gateway, solution).json()["code"] == "sms_failed"
    assert proxy.dropped == 2
    assert snapshot(server) == {}

    emulator.fault = None
    assert send(gateway, solution).status_code == 200
    assert send(gateway, solution).json()["code"] == "invalid_challenge"


def test_a_send_that_was_answered_503_leaves_the_solution_good(
    gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, server: RedisServer
) -> None:
    solution = easy_solution(PHONE)
    proxy.hold(sha("issue"))
    assert send(gateway, solution).json()["code"] == "store_unavailable"
    # The scripts run now, after their deadline.
    proxy.release()
    time.sleep(0.5)
    assert snapshot(server) == {}

    assert send(gateway, solution).status_code == 200
    assert len(emulator.messages) == 1


def test_a_wrong_solution_with_a_key_is_503_while_redis_cannot_say_whether_it_is_a_repeat(
    gateway: Gateway, proxy: RedisProxy
) -> None:
    body = {"phone_number": PHONE, "challenge": "nonsense"}
    key = {"Idempotency-Key": "a-key-of-sixteen-characters"}
    proxy.hold(sha("issue"))
    reply = gateway.post("/api/v1/usr/otp", body, headers=key)
    assert reply.json()["code"] == "store_unavailable"
    proxy.release()
    assert gateway.post("/api/v1/usr/otp", body, headers=key).json()["code"] == "invalid_challenge"


def test_a_redis_without_memory_uses_no_solution(
    gateway: Gateway, server: RedisServer, emulator: KavenegarEmulator
) -> None:
    solution = easy_solution(PHONE)
    with server.client() as client:
        client.config_set("maxmemory", 1)
        assert send(gateway, solution).json()["code"] == "store_unavailable"
        client.config_set("maxmemory", 0)
    assert send(gateway, solution).status_code == 200
    assert len(emulator.messages) == 1


@pytest.mark.parametrize("losses", [1, 3])
def test_lost_replies_at_a_closed_gate_count_one_solved_send(
    proxy: RedisProxy, emulator: KavenegarEmulator, losses: int
) -> None:
    phones = [f"+98912345670{n}" for n in range(4)]
    variables = environment(proxy.url, emulator, OTP_GATE="on", OTP_GATE_CREDIT="1")
    with Gateway(variables) as gateway:
        assert gateway.post("/api/v1/usr/otp", {"phone_number": "+989121112233"}).status_code == 200
        for phone in phones[:3]:
            proxy.drop_replies(losses, sha("issue"))
            refusal = gateway.post("/api/v1/usr/otp", {"phone_number": phone})
            assert refusal.json()["code"] == "challenge_required"
            body = {"phone_number": phone, "challenge": encoded(solved(refusal.json()["challenge"]))}
            proxy.drop_replies(losses, sha("issue"))
            assert gateway.post("/api/v1/usr/otp", body).status_code == 200
            assert gateway.post("/api/v1/usr/otp", body).json()["code"] == "invalid_challenge"
            assert len(emulator.messages_to(phone)) == 1

        # A new network may have only three sends with a solution in a day.
        refusal = gateway.post("/api/v1/usr/otp", {"phone_number": phones[3]})
        body = {"phone_number": phones[3], "challenge": encoded(solved(refusal.json()["challenge"]))}
        assert gateway.post("/api/v1/usr/otp", body).json()["code"] == "sending_paused"
