"""Incidents on real gunicorn workers: Redis loses replies, stalls, dies; the provider fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.faults.support import environment, sha, snapshot
from tests.support import kavenegar_faults as faults
from tests.support.calls import Calls
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"
SEND = {"phone_number": PHONE}
LONGEST_503 = 3.0


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def send(gateway: Gateway) -> requests.Response:
    return gateway.post("/api/v1/usr/otp", SEND)


def verify(gateway: Gateway, code: str) -> requests.Response:
    return gateway.post("/api/v1/usr/otp/verify", {"phone_number": PHONE, "code": code})


def timed(call: object, *args: object) -> tuple[requests.Response, float]:
    started = time.monotonic()
    reply = call(*args)  # type: ignore[operator]  # send or verify
    return reply, time.monotonic() - started


class TestLostReplies:
    @pytest.mark.parametrize("losses", [1, 2, 3])
    def test_a_lost_reply_of_a_send_sends_and_charges_once(
        self, gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, losses: int
    ) -> None:
        for _ in range(2):
            proxy.drop_replies(losses, sha("issue"))
            assert send(gateway).status_code == 200
        assert send(gateway).json()["resend_in"] > 0
        assert send(gateway).json()["code"] == "too_many_otp_requests"
        assert len(emulator.messages) == 3
        assert proxy.dropped == 2 * losses
        assert verify(gateway, emulator.code_for(PHONE)).status_code == 200

    @pytest.mark.parametrize("losses", [1, 2, 3])
    def test_a_lost_reply_of_a_wrong_code_costs_one_try(
        self, gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator, losses: int
    ) -> None:
        send(gateway)
        code = emulator.code_for(PHONE)
        for left in (2, 1):
            proxy.drop_replies(losses, sha("verify"))
            assert verify(gateway, wrong(code)).json()["attempts_remaining"] == left
        assert proxy.dropped == 2 * losses
        assert verify(gateway, code).status_code == 200

    @pytest.mark.parametrize("losses", [1, 2, 3])
    def test_a_lost_reply_of_the_right_code_loses_no_login(
        self,
        gateway: Gateway,
        proxy: RedisProxy,
        server: RedisServer,
        emulator: KavenegarEmulator,
        losses: int,
    ) -> None:
        send(gateway)
        proxy.drop_replies(losses, sha("verify"))
        assert verify(gateway, emulator.code_for(PHONE)).status_code == 200
        assert proxy.dropped == losses
        with server.client() as client:
            assert len(list(client.scan_iter(match="otp:*:session:*"))) == 1

    def test_a_lost_reply_of_a_withdrawal_takes_one_send_back(
        self, gateway: Gateway, proxy: RedisProxy, emulator: KavenegarEmulator
    ) -> None:
        assert send(gateway).status_code == 200
        emulator.fault = faults.code(418)
        proxy.drop_replies(2, sha("withdraw"))
        assert send(gateway).json()["code"] == "sms_failed"
        assert proxy.dropped == 2
        emulator.fault = None
        assert [send(gateway).status_code for _ in range(3)] == [200, 200, 429]

    def test_a_lost_reply_of_the_ip_limit_counts_once(
        self, proxy: RedisProxy, emulator: KavenegarEmulator
    ) -> None:
        with Gateway(environment(proxy.url, emulator, OTP_IP_LIMITS="5/minute")) as gateway:
            left = []
            for _ in range(5):
                proxy.drop_replies(2, sha("admit"))
                reply = verify(gateway, "000000")
                left.append(reply.headers["RateLimit"].split(";")[1])
            assert proxy.dropped == 10
            assert left == ["r=4", "r=3", "r=2", "r=1", "r=0"]
            assert verify(gateway, "000000").json()["code"] == "rate_limited"


class TestStalls:
    def test_a_command_that_was_stuck_while_its_request_gave_up_does_nothing(
        self, gateway: Gateway, proxy: RedisProxy, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        send(gateway)
        code = emulator.code_for(PHONE)
        before = snapshot(server)
        for script, call in (
            ("issue", lambda: send(gateway)),
            ("verify", lambda: verify(gateway, wrong(code))),
            ("verify", lambda: verify(gateway, code)),
        ):
            proxy.hold(sha(script))
            reply, seconds = timed(call)
            assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
            assert int(reply.headers["Retry-After"]) >= 1
            assert seconds < LONGEST_503
            assert proxy.held > 0
            proxy.release()
            time.sleep(0.2)
            assert snapshot(server) == before
        assert len(emulator.messages) == 1
        assert verify(gateway, code).status_code == 200

    def test_redis_stopped_and_continued_never_does_what_was_answered_503(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        with Gateway(environment(server.url, emulator)) as gateway:
            send(gateway)
            code = emulator.code_for(PHONE)
            before = snapshot(server)
            for _ in range(3):
                server.pause()
                with ThreadPoolExecutor(24) as pool:
                    jobs = [pool.submit(timed, verify, gateway, wrong(code)) for _ in range(8)]
                    jobs += [pool.submit(timed, verify, gateway, code) for _ in range(8)]
                    jobs += [pool.submit(timed, send, gateway) for _ in range(8)]
                    replies = [job.result() for job in jobs]
                server.resume()
                assert {reply.json()["code"] for reply, _ in replies} == {"store_unavailable"}
                assert max(seconds for _, seconds in replies) < LONGEST_503
                time.sleep(0.2)
                assert snapshot(server) == before
            assert verify(gateway, code).status_code == 200

    def test_requests_answered_503_are_not_counted_for_their_address_later(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        with Gateway(environment(server.url, emulator, OTP_IP_LIMITS="5/minute")) as gateway:
            assert send(gateway).status_code == 200
            server.pause()
            with ThreadPoolExecutor(10) as pool:
                replies = [job.result() for job in [pool.submit(send, gateway) for _ in range(10)]]
            assert {reply.json()["code"] for reply in replies} == {"store_unavailable"}
            server.resume()
            time.sleep(0.2)
            assert send(gateway).headers["RateLimit"].split(";")[1] == "r=3"

    def test_pauses_of_any_length_leave_exactly_what_was_answered(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        """Redis stops and continues at random under load. Its data agree with the replies.

        The contract has one exception: Redis ran the call in time, and each of its replies was lost until the
        timeout. The record of the proxy shows these calls.
        """
        calls = Calls()
        with (
            RedisProxy(server.port, calls.note) as proxy,
            Gateway(environment(proxy.url, emulator, OTP_PHONE_LIMITS="1000/minute")) as gateway,
        ):
            done = threading.Event()

            def stutter() -> None:
                for pause in (0.3, 0.7, 0.9, 1.1, 1.4, 2.0):
                    server.pause()
                    time.sleep(pause)
                    server.resume()
                    time.sleep(0.3)
                done.set()

            def client(number: int) -> list[tuple[str, str]]:
                phone = f"+98912000{number:04d}"
                seen = []
                while not done.is_set():
                    reply = gateway.post("/api/v1/usr/otp", {"phone_number": phone})
                    seen.append((phone, str(reply.json().get("code", reply.status_code))))
                return seen

            with ThreadPoolExecutor(9) as pool:
                stutterer = pool.submit(stutter)
                clients = [pool.submit(client, n) for n in range(8)]
                seen = [pair for job in clients for pair in job.result()]
                stutterer.result()

            assert {outcome for _, outcome in seen} == {"200", "store_unavailable"}
            with server.client() as client_:
                charged = sum(client_.llen(key) for key in client_.scan_iter(match="otp:*:sends"))
            sent = sum(outcome == "200" for _, outcome in seen)
            assert sent == len(emulator.messages)
            assert sent <= charged <= sent + calls.unknown("issue")


class TestDeath:
    def test_redis_killed_and_restarted_under_load_is_503_then_well_again(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        with Gateway(environment(server.url, emulator)) as gateway:
            assert send(gateway).status_code == 200
            server.kill()
            with ThreadPoolExecutor(24) as pool:
                replies = [job.result() for job in [pool.submit(timed, send, gateway) for _ in range(48)]]
            assert {reply.json()["code"] for reply, _ in replies} == {"store_unavailable"}
            assert max(seconds for _, seconds in replies) < LONGEST_503
            ready = gateway.get("/readyz")
            assert (ready.status_code, ready.json()["parts"]["redis"]) == (503, "store_unavailable")
            assert gateway.get("/healthz").status_code == 200

            server.start()
            # All data of this Redis are lost, the scripts included.
            assert send(gateway).status_code == 200
            assert verify(gateway, emulator.code_for(PHONE)).status_code == 200

    def test_a_gateway_that_starts_without_redis_serves_when_redis_comes(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        server.kill()
        with Gateway(environment(server.url, emulator)) as gateway:
            assert send(gateway).json()["code"] == "store_unavailable"
            server.start()
            assert send(gateway).status_code == 200

    def test_a_redis_without_memory_is_503_and_allows_no_uncounted_guess(
        self, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        windows = {"OTP_IP_LIMITS": "10000/minute", "OTP_PHONE_LIMITS": "3/2minute"}
        with Gateway(environment(server.url, emulator, **windows)) as gateway, server.client() as client:
            send(gateway)
            code = emulator.code_for(PHONE)
            before = snapshot(server)
            client.config_set("maxmemory", "1")
            calls: list[Callable[[], requests.Response]] = [
                lambda: send(gateway),
                lambda: verify(gateway, wrong(code)),
                lambda: verify(gateway, code),
            ]
            for call in calls:
                assert call().json()["code"] == "store_unavailable"
            assert snapshot(server) == before
            client.config_set("maxmemory", "0")
            assert verify(gateway, code).status_code == 200


class TestProvider:
    def test_a_failed_send_in_the_second_half_leaves_the_code_in_hand_alive(
        self, gateway: Gateway, server: RedisServer, emulator: KavenegarEmulator
    ) -> None:
        send(gateway)
        code = emulator.code_for(PHONE)
        verify(gateway, wrong(code))
        with server.client() as client:
            (key,) = client.scan_iter(match="otp:*:code")
            client.pexpire(key, 100_000)
            before = snapshot(server)
            ends = client.pttl(key) + time.monotonic() * 1000
            emulator.fault = faults.code(418)
            assert send(gateway).json()["code"] == "sms_failed"
            assert snapshot(server) == before
            assert client.pttl(key) + time.monotonic() * 1000 == pytest.approx(ends, abs=100)
        assert verify(gateway, wrong(code)).json()["attempts_remaining"] == 1
        assert verify(gateway, code).status_code == 200

    def test_a_failed_send_is_not_charged_however_often(
        self, gateway: Gateway, emulator: KavenegarEmulator
    ) -> None:
        emulator.fault = faults.code(418)
        assert {send(gateway).status_code for _ in range(5)} == {502}
        emulator.fault = None
        assert [send(gateway).status_code for _ in range(4)] == [200, 200, 200, 429]

    def test_an_unconfirmed_send_keeps_its_code_and_its_charge(
        self, gateway: Gateway, emulator: KavenegarEmulator
    ) -> None:
        emulator.fault = faults.hang(deliver=True)
        reply, seconds = timed(send, gateway)
        assert (reply.status_code, reply.json()["code"]) == (504, "sms_unconfirmed")
        assert seconds < 2 + 1
        emulator.fault = None
        # One message was sent, although two requests were made, because the localid was the same.
        assert len(emulator.messages) == 1
        code = emulator.code_for(PHONE)
        assert [send(gateway).status_code for _ in range(3)] == [200, 200, 429]
        assert verify(gateway, code).status_code == 200

    def test_a_hanging_provider_delays_no_other_request(
        self, gateway: Gateway, emulator: KavenegarEmulator
    ) -> None:
        emulator.fault = faults.hang()
        with ThreadPoolExecutor(8) as pool:
            slow = [
                pool.submit(gateway.post, "/api/v1/usr/otp", {"phone_number": f"+98935000{n:04d}"})
                for n in range(8)
            ]
            time.sleep(0.5)
            assert verify(gateway, "000000").status_code == 400
            assert not any(job.done() for job in slow)
            assert {job.result().status_code for job in slow} == {504}

    def test_a_graceful_stop_finishes_the_send_under_way(
        self, proxy: RedisProxy, emulator: KavenegarEmulator
    ) -> None:
        with Gateway(environment(proxy.url, emulator, SMS_TIMEOUT="5")) as gateway:
            emulator.fault = faults.slow(1.5)
            with ThreadPoolExecutor(1) as pool:
                job = pool.submit(send, gateway)
                time.sleep(0.5)
                gateway.terminate()
                assert job.result().status_code == 200
            assert gateway.wait_exit() == 0
