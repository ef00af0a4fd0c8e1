"""Every metric counts the events in its name, once."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from typing import cast

import pytest
from flask import Response, g, request

from otp_gateway.errors import SmsFailed
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from otp_gateway.version import __version__
from tests.api.support import HOME, OTHER, PHONE, SEND, VERIFY, Api, Recorder, make_api, wrong
from tests.metrics.support import SCRAPER, gained, labels, scrape
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator
from tests.support.servers import free_port

REFRESH = "/api/v1/usr/token/refresh"
REVOKE = "/api/v1/usr/token/revoke"


def login(api: Api, sender: Recorder) -> str:
    """A new login's refresh token."""
    api.send()
    body = api.verify(PHONE, sender.code_for(PHONE)).get_json()
    return str(body["refresh_token"])


# --- requests


def test_requests_are_counted_by_route_method_and_status() -> None:
    api = make_api()
    before = scrape(api)
    for _ in range(3):
        api.get("/healthz")
    api.request("HEAD", "/healthz")
    api.request("OPTIONS", SEND)
    api.send()
    api.send("x")
    api.get(SEND)
    api.get("/nothing/here")
    after = scrape(api)
    assert gained(before, after, "http_requests_total") == {
        labels(route="/healthz", method="GET", status="200"): 3,
        labels(route="/healthz", method="HEAD", status="200"): 1,
        labels(route=SEND, method="OPTIONS", status="200"): 1,
        labels(route=SEND, method="POST", status="200"): 1,
        labels(route=SEND, method="POST", status="400"): 1,
        labels(route="unmatched", method="GET", status="405"): 1,
        labels(route="unmatched", method="GET", status="404"): 1,
        # The first scrape, which could not count itself.
        labels(route="/metrics", method="GET", status="200"): 1,
    }
    assert gained(before, after, "http_request_duration_seconds_count") == {
        labels(route="/healthz"): 4,
        labels(route=SEND): 3,
        labels(route="unmatched"): 2,
        labels(route="/metrics"): 1,
    }


def test_the_duration_of_a_request_is_measured() -> None:
    api = make_api(sender=Recorder(seconds=0.06))
    api.send()
    api.get("/healthz")
    now = scrape(api)
    assert now.value("http_request_duration_seconds_bucket", route=SEND, le="0.05") == 0
    assert now.value("http_request_duration_seconds_bucket", route=SEND, le="+Inf") == 1
    slow = now.value("http_request_duration_seconds_sum", route=SEND)
    assert slow > now.value("http_request_duration_seconds_sum", route="/healthz")


def test_requests_in_progress_are_those_that_hold_a_thread(emulator: KavenegarEmulator) -> None:
    arrived, leave = threading.Semaphore(0), threading.Event()

    def wait(_: object) -> None:
        arrived.release()
        leave.wait(10)

    emulator.fault = wait
    api = make_api(emulator=emulator)
    threads = [
        threading.Thread(target=api.app.test_client().post, args=[SEND], kwargs={"json": body})
        for body in ({"phone_number": PHONE}, {"phone_number": OTHER})
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert arrived.acquire(timeout=10)
    # The scrape is a request itself.
    assert scrape(api).value("http_requests_in_progress") == 3
    leave.set()
    for thread in threads:
        thread.join()
    assert scrape(api).value("http_requests_in_progress") == 1


def _break(*_: object) -> None:
    """Fail once for a request, on this path."""
    if request.path == "/broken" and not g.get("broken"):
        g.broken = True
        raise RuntimeError


def in_a_route(api: Api) -> str:
    api.app.add_url_rule("/broken", view_func=cast("Callable[[], Response]", _break))
    return "/broken"


def before_the_route(api: Api) -> str:
    api.app.before_request(_break)
    return "unmatched"


def after_the_route(api: Api) -> str:
    @api.app.after_request
    def broken(response: Response) -> Response:
        _break()
        return response

    return "unmatched"


@pytest.mark.parametrize("place", [in_a_route, before_the_route, after_the_route])
def test_an_exception_leaves_no_request_in_progress_and_is_counted_once(place: Callable[[Api], str]) -> None:
    api = make_api()
    route = place(api)
    for _ in range(3):
        assert api.get("/broken").status_code == 500
    now = scrape(api)
    assert now.value("http_requests_in_progress") == 1
    assert now.by_label("http_requests_total") == {labels(route=route, method="GET", status="500"): 3}


# --- outcomes


def test_sends_are_counted_by_outcome(emulator: KavenegarEmulator) -> None:
    api = make_api(emulator=emulator, OTP_PHONE_LIMITS="2/minute")
    before = scrape(api)
    api.send()
    api.send()
    api.send()
    api.send("x")
    api.send("+447400123456")
    api.post(SEND, b"{")
    api.request("POST", SEND, data=b"x", content_type="text/plain")
    api.post(SEND, b" " * 9000)
    emulator.fault = faults.code(418)
    api.send(OTHER)
    emulator.fault = faults.html(502)
    api.send(OTHER)
    # A browser first asks for permission; no message is sent.
    api.request("OPTIONS", SEND)
    assert gained(before, scrape(api), "sends_total") == {
        labels(outcome="sent"): 2,
        labels(outcome="too_many_otp_requests"): 1,
        labels(outcome="invalid_phone_number"): 1,
        labels(outcome="unsupported_destination"): 1,
        labels(outcome="invalid_request"): 1,
        labels(outcome="unsupported_media_type"): 1,
        labels(outcome="payload_too_large"): 1,
        labels(outcome="sms_failed"): 1,
        labels(outcome="sms_unconfirmed"): 1,
    }


def test_other_outcomes_of_a_send_are_counted_too() -> None:
    for api, status, outcome in (
        (make_api(KAVENEGAR_API_KEY=""), 503, "sms_not_configured"),
        (make_api(sender=Recorder(RuntimeError())), 500, "internal_error"),
        (make_api(sender=Recorder(SmsFailed("x"))), 502, "sms_failed"),
    ):
        assert api.send().status_code == status
        assert scrape(api).by_label("sends_total") == {
            labels(outcome="sent"): 0,
            labels(outcome=outcome): 1,
        }


def test_verifies_are_counted_by_outcome() -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    before = scrape(api)
    api.send()
    code = sender.code_for(PHONE)
    api.verify(PHONE, wrong(code))
    api.verify(PHONE, code)
    api.verify(PHONE, "12")
    api.verify("x", code)
    for _ in range(4):
        api.verify(OTHER, code)
    api.request("OPTIONS", VERIFY)
    assert gained(before, scrape(api), "verifies_total") == {
        labels(outcome="verified"): 1,
        labels(outcome="invalid_code"): 4,
        labels(outcome="invalid_request"): 1,
        labels(outcome="invalid_phone_number"): 1,
        labels(outcome="too_many_attempts"): 1,
    }


def test_refreshes_are_counted_by_outcome() -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    token = login(api, sender)
    before = scrape(api)
    api.post(REFRESH, {"refresh_token": token})
    api.post(REFRESH, {"refresh_token": "garbage"})
    api.post(REFRESH, {})
    api.post(REVOKE, {"refresh_token": token})
    api.request("OPTIONS", REFRESH)
    assert gained(before, scrape(api), "token_refreshes_total") == {
        labels(outcome="refreshed"): 1,
        labels(outcome="invalid_token"): 1,
        labels(outcome="invalid_request"): 1,
    }


def test_a_store_that_is_unavailable_is_an_outcome() -> None:
    api = make_api(connect(f"redis://127.0.0.1:{free_port()}/0"))
    for path in (SEND, VERIFY, REFRESH):
        assert api.post(path, {}).status_code == 503
    now = scrape(api)
    for name in ("sends_total", "verifies_total", "token_refreshes_total"):
        assert now.value(name, outcome="store_unavailable") == 1


def test_successes_and_limits_are_0_from_the_start() -> None:
    now = scrape(make_api())
    assert now.by_label("sends_total") == {labels(outcome="sent"): 0}
    assert now.by_label("verifies_total") == {labels(outcome="verified"): 0}
    assert now.by_label("token_refreshes_total") == {labels(outcome="refreshed"): 0}
    names = HITS.keys() - {"ip (tokens)"}
    assert now.by_label("limit_hits_total") == {labels(limit=name): 0 for name in names}


# --- limits


def hit_ip(store: RedisClient) -> Api:
    api = make_api(store, OTP_IP_LIMITS="2/minute")
    assert [api.send("x").status_code for _ in range(5)] == [400, 400, 429, 429, 429]
    return api


def hit_ip_of_tokens(store: RedisClient) -> Api:
    api = make_api(store, TOKEN_IP_LIMITS="2/minute")
    body = {"refresh_token": "x"}
    assert [api.post(REVOKE, body).status_code for _ in range(5)] == [204, 204, 429, 429, 429]
    return api


def hit_phone(store: RedisClient) -> Api:
    api = make_api(store, OTP_PHONE_LIMITS="1/minute")
    assert [api.send().status_code for _ in range(4)] == [200, 429, 429, 429]
    return api


def hit_tries(store: RedisClient) -> Api:
    api = make_api(store, OTP_MAX_ATTEMPTS=2)
    assert [api.verify(PHONE, "000000").status_code for _ in range(5)] == [400, 400, 429, 429, 429]
    return api


def hit_client_failures(store: RedisClient) -> Api:
    api = make_api(store, OTP_MAX_FAILURES_PER_CLIENT=1, OTP_MAX_ATTEMPTS=3)
    assert [api.verify(PHONE, "000000", ip=HOME).status_code for _ in range(2)] == [400, 429]
    # No code is sent that could not be verified.
    assert [api.send(ip=HOME).status_code for _ in range(2)] == [429, 429]
    return api


def hit_phone_failures(store: RedisClient) -> Api:
    api = make_api(store, OTP_MAX_FAILURES_PER_PHONE=1, OTP_MAX_ATTEMPTS=3)
    replies = [api.verify(PHONE, "000000", ip=f"192.0.2.{n}").status_code for n in range(1, 4)]
    assert replies == [400, 429, 429]
    assert api.send(ip="192.0.2.9").status_code == 429
    return api


def device_of(api: Api, sender: Recorder) -> dict[str, str]:
    """The member of a body that makes the client a device, and no send in any window."""
    api.send()
    reply = api.verify(PHONE, sender.code_for(PHONE))
    for key in api.redis.scan_iter("otp:*"):
        api.redis.delete(key)
    assert reply.json
    return {"device_token": reply.json["device_token"]}


def hit_device(store: RedisClient) -> Api:
    sender = Recorder()
    api = make_api(store, sender)
    device = device_of(api, sender)
    statuses = [api.post(SEND, {"phone_number": PHONE} | device).status_code for _ in range(6)]
    assert statuses == [200] * 3 + [429] * 3
    return api


def hit_device_failures(store: RedisClient) -> Api:
    sender = Recorder()
    api = make_api(store, sender, OTP_MAX_FAILURES_PER_PHONE=5, OTP_MAX_ATTEMPTS=3)
    device = device_of(api, sender)
    assert api.post(SEND, {"phone_number": PHONE} | device).status_code == 200
    guess = {"phone_number": PHONE, "code": wrong(sender.code_for(PHONE))} | device
    assert [api.post(VERIFY, guess).status_code for _ in range(3)] == [400, 429, 429]
    assert api.post(SEND, {"phone_number": PHONE} | device).status_code == 429
    return api


def hit_session(store: RedisClient) -> Api:
    sender = Recorder()
    api = make_api(store, sender)
    token = login(api, sender)
    statuses = []
    for _ in range(11):
        reply = api.post(REFRESH, {"refresh_token": token})
        statuses.append(reply.status_code)
        token = (reply.json or {}).get("refresh_token", token)
    assert statuses == [200] * 8 + [429] * 3
    return api


HITS = {
    "ip": hit_ip,
    "ip (tokens)": hit_ip_of_tokens,
    "phone": hit_phone,
    "tries": hit_tries,
    "client_failures": hit_client_failures,
    "phone_failures": hit_phone_failures,
    "device": hit_device,
    "device_failures": hit_device_failures,
    "session": hit_session,
}


@pytest.mark.parametrize(("name", "hit"), HITS.items(), ids=HITS)
def test_hits_are_counted_by_the_limit_that_refused(
    redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
    name: str,
    hit: Callable[[RedisClient], Api],
) -> None:
    limit = name.partition(" ")[0]
    now = scrape(hit(redis_client))
    assert {has: n for has, n in now.by_label("limit_hits_total").items() if n} == {labels(limit=limit): 3}
    # The log names it, too.
    assert capsys.readouterr().err.count(f'"limit": "{limit}"') == 3


# --- facts


def test_the_build_the_probability_and_the_minimum_are_reported() -> None:
    api = make_api(OTP_MAX_FAILURES_PER_PHONE=20, KAVENEGAR_MIN_CREDIT=750_000)
    now = scrape(api)
    assert now.value("build_info", version=__version__, python=platform.python_version()) == 1
    assert now.value("guess_probability") == 2 * 20 / 10**6
    assert now.value("sms_credit_minimum_rials") == 750_000
    assert now.value("redis_up") == 1


def test_no_application_counts_for_another() -> None:
    one, other = make_api(), make_api()
    one.send()
    assert scrape(one).value("sends_total", outcome="sent") == 1
    assert scrape(other).value("sends_total", outcome="sent") == 0
    assert scrape(other).value("http_requests_total", route=SEND, method="POST", status="200") == 0


def test_a_scrape_counts_itself_from_the_next_on() -> None:
    api = make_api()
    for expected in range(3):
        now = scrape(api)
        assert now.value("http_requests_total", route="/metrics", method="GET", status="200") == expected
    api.get("/metrics", ip=HOME)
    assert scrape(api).value("http_requests_total", route="/metrics", method="GET", status="403") == 1
    assert SCRAPER not in scrape(api).text
