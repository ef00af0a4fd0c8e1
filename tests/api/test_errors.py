"""The error table, row by row; hostile bodies; the order of the checks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.messages import Message
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import (
    AWAY,
    HOME,
    OTHER,
    PHONE,
    SEND,
    VERIFY,
    Api,
    Recorder,
    assert_problem,
    failures_of,
    keys_of,
    make_api,
    retry_after,
    wrong,
)
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator
from tests.support.searches import examples
from tests.support.servers import free_port

ENDPOINTS = pytest.mark.parametrize("path", [SEND, VERIFY])
GOOD = {"phone_number": PHONE, "code": "123456"}
INVALID_NUMBERS = {
    "letters": "0912ABC6789",
    "empty": "",
    "too short": "0912345678",
    "too long": "091234567890",
    "landline": "+982122334455",
    "two numbers": "09123456789,09351112233",
    "extension": "09123456789 ext 5",
    "newline within": "0912345\n6789",
    "NUL": "0912345\u00006789",
    "surrogate": "0912345678\ud800",
    "emoji": "📱",
    "plus within": "0912+3456789",
    "8000 digits": "9" * 8000,
    "country code zero": "+0123456789",
}


def spend(api: Api, phone: str, guesses: int, ip: str = HOME) -> TestResponse:
    """So many verifies with a code that was not sent; return the last answer."""
    for _ in range(guesses):
        reply = api.verify(phone, "000000", ip=ip)
    return reply


# --- 400


@ENDPOINTS
@pytest.mark.parametrize("phone", INVALID_NUMBERS.values(), ids=INVALID_NUMBERS)
def test_what_is_no_mobile_number_is_an_invalid_phone_number(path: str, phone: str) -> None:
    reply = make_api().post(path, GOOD | {"phone_number": phone})
    assert_problem(reply, 400, "invalid_phone_number", "Invalid phone number")


@ENDPOINTS
@pytest.mark.parametrize("phone", ["+447400123456", "+12015550123", "+905321234567"])
def test_a_mobile_abroad_is_an_unsupported_destination(path: str, phone: str) -> None:
    assert_problem(make_api().post(path, GOOD | {"phone_number": phone}), 400, "unsupported_destination")


def test_a_mobile_abroad_is_served_where_its_region_is_allowed(sender: Recorder) -> None:
    reply = make_api(sender=sender, OTP_REGIONS="IR,GB").send("+44 7400 123456")
    assert reply.json is not None
    assert reply.json["phone_number"] == "+447400123456"


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (SEND, {}, {"phone_number"}),
        (VERIFY, {}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": PHONE}, {"code"}),
        (VERIFY, {"code": "123456"}, {"phone_number"}),
        (VERIFY, {"phone_number": 9123456789, "code": 123456}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": None, "code": None}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": [PHONE], "code": ["123456"]}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": {"a": PHONE}, "code": {"a": "1"}}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": True, "code": False}, {"phone_number", "code"}),
        (VERIFY, {"phone_number": PHONE, "code": "12345"}, {"code"}),
        (VERIFY, {"phone_number": PHONE, "code": 123456.0}, {"code"}),
        (VERIFY, {"PHONE_NUMBER": PHONE, "Code": "123456"}, {"phone_number", "code"}),
        (SEND, {"phone_number": PHONE, "channel": None}, {"channel"}),
        (SEND, {"phone_number": 1, "channel": 2}, {"phone_number", "channel"}),
    ],
)
def test_missing_and_wrong_fields_are_listed_by_name(
    path: str, body: dict[str, Any], fields: set[str]
) -> None:
    problem = assert_problem(make_api().post(path, body), 400, "invalid_request", members=["errors"])
    assert set(problem["errors"]) == fields
    for texts in problem["errors"].values():
        assert texts
        assert all(isinstance(text, str) and text for text in texts)


def test_an_invalid_request_does_not_repeat_what_was_sent() -> None:
    reply = make_api().verify(PHONE, "48-15-16-23")
    assert_problem(reply, 400, "invalid_request", members=["errors"])
    assert "48-15-16" not in reply.text
    assert PHONE not in reply.text


@pytest.mark.parametrize("kind", ["wrong", "never sent", "used", "expired"])
def test_wrong_expired_used_and_never_sent_codes_are_answered_alike(
    redis_client: RedisClient, sender: Recorder, kind: str
) -> None:
    api = make_api(redis_client, sender)
    code = "000000"
    if kind != "never sent":
        api.send()
        code = sender.code_for(PHONE)
    if kind == "used":
        assert api.verify(PHONE, code).status_code == 200
    if kind == "expired":
        api.pass_time(300)
    reply = api.verify(PHONE, wrong(code) if kind == "wrong" else code)
    problem = assert_problem(reply, 400, "invalid_code", "Invalid OTP code", ["attempts_remaining"])
    assert problem["attempts_remaining"] == 2
    assert type(problem["attempts_remaining"]) is int


def test_the_tries_left_count_down_to_none(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_MAX_ATTEMPTS=4)
    left = [(api.verify(PHONE, "000000").json or {}).get("attempts_remaining") for _ in range(5)]
    assert left == [3, 2, 1, 0, None]


def test_the_tries_left_are_those_of_the_smallest_budget(redis_client: RedisClient) -> None:
    api = make_api(
        redis_client, OTP_MAX_ATTEMPTS=9, OTP_MAX_FAILURES_PER_CLIENT=3, OTP_MAX_FAILURES_PER_PHONE=6
    )
    at_home = [(api.verify(PHONE, "000000").json or {}).get("attempts_remaining") for _ in range(4)]
    away = [(api.verify(PHONE, "000000", ip=AWAY).json or {}).get("attempts_remaining") for _ in range(3)]
    assert (at_home, away) == ([2, 1, 0, None], [1, 0, None])


# --- 429


def test_without_a_try_left_even_the_right_code_is_refused_until_the_wait_is_over(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender)
    api.send()
    code = sender.code_for(PHONE)
    for by in (1, 2, 3):
        assert api.verify(PHONE, wrong(code, by)).status_code == 400
    refused = api.verify(PHONE, code)
    assert_problem(refused, 429, "too_many_attempts")
    assert 297 <= retry_after(refused) <= 300
    api.pass_time(retry_after(refused) - 2)
    assert api.verify(PHONE, code).status_code == 429
    api.pass_time(2)
    assert_problem(api.verify(PHONE, code), 400, "invalid_code", members=["attempts_remaining"])


def test_only_a_client_that_has_used_up_its_budget_is_refused_on_both_endpoints(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=2)
    api.send()
    spend(api, PHONE, 2)
    for refused in (api.send(), api.verify(PHONE, "000000")):
        assert_problem(refused, 429, "too_many_attempts")
        assert 86_390 <= retry_after(refused) <= 86_400
    assert len(sender.sent) == 1
    assert api.send(ip=AWAY).status_code == 200
    assert api.send(OTHER).status_code == 200
    assert api.verify(PHONE, sender.code_for(PHONE), ip=AWAY).status_code == 200
    # A success clears only its own client's count.
    assert api.send().status_code == 429
    api.pass_time(retry_after(refused))
    assert api.send().status_code == 200


def test_a_phone_whose_budget_is_used_up_is_refused_to_every_client(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=2, OTP_MAX_FAILURES_PER_PHONE=3)
    api.send()
    spend(api, PHONE, 2)
    spend(api, PHONE, 1, ip=AWAY)
    for refused in (api.send(ip="192.0.2.9"), api.verify(PHONE, "000000", ip="192.0.2.9")):
        assert_problem(refused, 429, "too_many_attempts")
        assert 86_390 <= retry_after(refused) <= 86_400
    assert len(sender.sent) == 1
    # New tries do not restore the budget.
    api.pass_time(301)
    assert_problem(api.verify(PHONE, sender.code_for(PHONE)), 429, "too_many_attempts")


def test_a_phone_that_was_sent_no_code_is_locked_by_no_guesses(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=2, OTP_MAX_FAILURES_PER_PHONE=3)
    for _ in range(3):
        spend(api, PHONE, 2)
        spend(api, PHONE, 1, ip=AWAY)
        # Until the tries expire, the phone answers like one with a code.
        for ip in (HOME, AWAY, "192.0.2.9"):
            assert_problem(api.verify(PHONE, "000000", ip=ip), 429, "too_many_attempts")
        api.pass_time(301)
        assert list(api.redis.scan_iter("otp:*")) == []
    assert api.send().status_code == 200
    assert api.verify(PHONE, sender.code_for(PHONE)).status_code == 200


def test_guesses_before_the_first_send_take_nothing_from_its_code(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=5, OTP_MAX_FAILURES_PER_PHONE=5)
    spend(api, PHONE, 3)
    assert api.send().status_code == 200
    code = sender.code_for(PHONE)
    left = [(api.verify(PHONE, wrong(code, by)).json or {}).get("attempts_remaining") for by in (1, 2, 3)]
    assert left == [2, 1, 0]
    assert failures_of(api.redis, keys_of(PHONE))[0] == 3


def test_the_fourth_send_within_two_minutes_is_refused(api: Api, emulator: KavenegarEmulator) -> None:
    assert [api.send(ip=f"192.0.2.{i}").status_code for i in range(1, 4)] == [200] * 3
    refused = api.send(ip="192.0.2.4")
    assert_problem(refused, 429, "too_many_otp_requests", "Too many OTP requests")
    assert 117 <= retry_after(refused) <= 120
    assert len(emulator.messages) == 3


def test_waiting_as_long_as_the_reply_says_is_enough_for_a_phone_and_refusals_are_not_charged(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_PHONE_LIMITS="2/2second")
    assert [api.send().status_code for _ in range(2)] == [200, 200]
    time.sleep(1.1)
    refused = [api.send() for _ in range(3)][-1]
    assert_problem(refused, 429, "too_many_otp_requests")
    assert retry_after(refused) == 1
    time.sleep(retry_after(refused))
    # If the refusals had been charged, the window would still be full.
    assert [api.send().status_code for _ in range(2)] == [200, 200]


def test_an_address_that_asks_too_often_is_refused_and_waiting_is_enough(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_IP_LIMITS="2/2second")
    assert [api.send().status_code for _ in range(2)] == [200, 200]
    time.sleep(1.1)
    refused = [api.send() for _ in range(3)][-1]
    assert_problem(refused, 429, "rate_limited", "Too many requests")
    assert retry_after(refused) == 1
    time.sleep(retry_after(refused))
    assert [api.send(OTHER).status_code for _ in range(2)] == [200, 200]


def test_where_the_address_must_wait_longer_than_the_phone_its_wait_is_reported(sender: Recorder) -> None:
    api = make_api(sender=sender, OTP_PHONE_LIMITS="2/1second", OTP_IP_LIMITS="3/3second")
    assert [api.send().status_code for _ in range(2)] == [200, 200]
    refused = api.send()
    assert_problem(refused, 429, "too_many_otp_requests")
    # With only the phone's window, it would be 1.
    assert retry_after(refused) == 3
    time.sleep(3)
    assert api.send().status_code == 200


def test_where_the_phone_must_wait_longer_than_the_address_its_wait_is_reported() -> None:
    api = make_api(OTP_IP_LIMITS="4/2second")
    refused = [api.send() for _ in range(4)][-1]
    assert_problem(refused, 429, "too_many_otp_requests")
    assert 117 <= retry_after(refused) <= 120


def test_of_several_windows_the_longest_wait_is_reported() -> None:
    api = make_api(OTP_PHONE_LIMITS="2/2minute;2/hour")
    refused = [api.send() for _ in range(3)][-1]
    assert 3590 <= retry_after(refused) <= 3600


# --- 404, 405, 412, 413, 415


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/usr", "/api/v1/usr/otp/", "/api/v1/usr/otp/verify/x", "/%00", "/%ff"]
)
def test_an_unknown_path_is_not_found_for_any_method(method: str, path: str) -> None:
    assert_problem(make_api().request(method, path), 404, "not_found")


@ENDPOINTS
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_another_method_is_not_allowed_and_the_reply_names_those_that_are(path: str, method: str) -> None:
    reply = make_api().request(method, path, json=GOOD)
    assert_problem(reply, 405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_for_reading_only(path: str) -> None:
    reply = make_api().post(path, {})
    assert_problem(reply, 405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def padded(size: int) -> bytes:
    body = json.dumps(GOOD).encode()
    return body + b" " * (size - len(body))


@ENDPOINTS
def test_a_body_of_8192_bytes_is_read_and_one_of_8193_is_not(path: str) -> None:
    api = make_api()
    assert api.post(path, padded(8192)).status_code == (200 if path == SEND else 400)
    assert_problem(api.post(path, padded(8193)), 413, "payload_too_large")
    assert_problem(api.post(path, padded(1_000_000)), 413, "payload_too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        'application/json; charset="utf-8"',
        " application/json ",
    ],
)
def test_json_is_taken_however_its_content_type_is_spelled(content_type: str) -> None:
    reply = make_api().request("POST", SEND, data=json.dumps(GOOD), content_type=content_type)
    assert reply.status_code == 200


@ENDPOINTS
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/octet-stream",
        "json",
        "*/*",
        "text/plain; application/json",
        "application/json, text/plain",
    ],
)
def test_any_other_content_type_is_unsupported(path: str, content_type: str | None) -> None:
    reply = make_api().request("POST", path, data=json.dumps(GOOD), content_type=content_type)
    assert_problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/openapi.json", "/static/login.js"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_no_longer_here_is_not_sent_in_its_place(method: str, path: str) -> None:
    api = make_api()

    def ask(**headers: str) -> TestResponse:
        # Read to the end, so that static files are closed.
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.request(method, path, headers=named, buffered=True)

    tag = ask().headers["ETag"]
    reply = ask(If_Match='"another"')
    assert reply.status_code == 412
    assert reply.headers["Cache-Control"] == "no-store"
    if method == "GET":
        assert_problem(reply, 412, "precondition_failed")
    assert ask(If_Match=tag).status_code == 200
    assert ask(If_None_Match=tag).status_code == 304


# --- 5xx


def test_without_a_key_sends_say_that_sms_is_not_configured(redis_client: RedisClient) -> None:
    api = make_api(redis_client, KAVENEGAR_API_KEY="")
    reply = api.send()
    assert_problem(reply, 503, "sms_not_configured", "SMS service is not configured")
    # The send was not charged, and verifies continue.
    assert list(api.redis.scan_iter("otp:*")) == []
    assert api.verify(PHONE, "000000").status_code == 400


def test_a_send_that_definitely_failed_is_taken_back(api: Api, emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.code(418))
    for _ in range(4):
        assert_problem(api.send(), 502, "sms_failed", "Failed to send OTP")
    assert list(api.redis.scan_iter("otp:*")) == []
    emulator.set_fault(None)
    assert [api.send().status_code for _ in range(4)] == [200, 200, 200, 429]


def test_after_a_resend_that_definitely_failed_the_code_in_hand_still_works(
    api: Api, emulator: KavenegarEmulator
) -> None:
    api.send()
    emulator.set_fault(faults.code(418))
    assert api.send().status_code == 502
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200


def test_a_send_that_may_have_gone_out_keeps_its_code_and_its_charge(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    api = make_api(redis_client, emulator=emulator, SMS_TIMEOUT="0.4", OTP_PHONE_LIMITS="1/minute")
    emulator.set_fault(faults.hang(deliver=True))
    assert_problem(api.send(), 504, "sms_unconfirmed", "Failed to send OTP")
    emulator.set_fault(None)
    assert_problem(api.send(), 429, "too_many_otp_requests")
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200


@ENDPOINTS
def test_without_redis_every_request_is_told_that_the_store_is_unavailable(path: str) -> None:
    api = make_api(connect(f"redis://127.0.0.1:{free_port()}/0"))
    reply = api.post(path, GOOD)
    assert_problem(reply, 503, "store_unavailable")
    assert "RateLimit" not in reply.headers
    assert "127.0.0.1" not in reply.text


@ENDPOINTS
def test_a_store_that_answers_with_an_error_is_a_store_that_is_unavailable(
    redis_client: RedisClient, sender: Recorder, path: str
) -> None:
    api = make_api(redis_client, sender)
    for key in (keys_of(PHONE).sends, keys_of(PHONE).tries):
        api.redis.set(key, "of a wrong type", ex=60)
    reply = api.post(path, GOOD)
    assert_problem(reply, 503, "store_unavailable")
    assert "WRONGTYPE" not in reply.text
    assert sender.sent == []


SECRET = "hunter2-of-the-provider"


class Careless(Recorder):
    """Fails with an unexpected error, with the code in a local variable."""

    def send(self, message: Message, deadline: float) -> None:
        phone, code = message.phone, message.code
        self.sent.append((phone.e164, code, message.channel))
        precious = f"the code is {code} for {phone.e164}"
        assert precious
        assert deadline
        raise RuntimeError(SECRET)


def test_an_unforeseen_failure_tells_neither_the_client_nor_the_log_what_it_must_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sender = Careless()
    api = make_api(sender=sender)
    reply = api.send()
    assert_problem(reply, 500, "internal_error")
    code = sender.code_for(PHONE)
    for word in (SECRET, "Traceback", "RuntimeError", ".py", code, PHONE):
        assert word not in reply.text
        assert word not in str(reply.headers)
    log = capsys.readouterr().err
    lines = [json.loads(line) for line in log.splitlines()]
    [unhandled] = [line for line in lines if line["level"] == "error"]
    assert unhandled["event"] == "unhandled exception"
    assert unhandled["request_id"] == reply.headers["X-Request-ID"]
    # The log shows the lines that led to the fault, but not the values of their variables.
    assert "RuntimeError" in log
    for word in (code, PHONE, PHONE[1:], PHONE[3:]):
        assert word not in log


@pytest.mark.parametrize(
    "fault",
    [
        SmsFailed("odd-reason", fault="odd-fault", provider_code=418),
        SmsUnconfirmed("odd-reason", fault="odd-fault", provider_code=418),
    ],
)
def test_a_failed_send_tells_nothing_of_the_provider(fault: Exception) -> None:
    reply = make_api(sender=Recorder(fault)).send()
    for word in ("418", "odd", "kavenegar"):
        assert word not in reply.text.lower()


# --- hostile bodies

PAIR = b'"phone_number":"+989123456789","code":"123456"'
NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "blanks": b" \r\n\t ",
    "half an object": b"{" + PAIR,
    "invalid UTF-8": b'{"phone_number":"\xff\xfe","code":"123456"}',
    "invalid UTF-8 in a strange member": b"{" + PAIR + b',"x":"\xc3\x28"}',
    "overlong UTF-8": b"{" + PAIR + b',"x":"\xc0\xaf"}',
    "a surrogate in UTF-8": b"{" + PAIR + b',"x":"\xed\xa0\x80"}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "UTF-16 without mark": json.dumps(GOOD).encode("utf-16-le"),
    "UTF-32": json.dumps(GOOD).encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf{" + PAIR + b"}",
    "8 KiB of brackets": b"[" * 8192,
    "4 KiB of members": b'{"a":' * 1638,
    "a form": b"phone_number=%2B989123456789&code=123456",
    "single quotes": b"{'phone_number':'+989123456789','code':'123456'}",
    "trailing comma": b"{" + PAIR + b",}",
    "a comment": b"{/* hi */" + PAIR + b"}",
    "two documents": b"{" + PAIR + b"}{" + PAIR + b"}",
    "rubbish behind": b"{" + PAIR + b"}x",
    "raw NUL": b'{"phone_number":"+98912345\x006789","code":"123456"}',
    "raw newline": b'{"phone_number":"+989123456789\n","code":"123456"}',
    "NUL behind": b"{" + PAIR + b"}\x00",
    "huge integer": b'{"phone_number":' + b"9" * 8000 + b',"code":"123456"}',
    "huge integer in a strange member": b"{" + PAIR + b',"x":' + b"9" * 8000 + b"}",
    "NaN": b"{" + PAIR + b',"x":NaN}',
    "infinity": b"{" + PAIR + b',"x":Infinity}',
    "negative infinity": b"{" + PAIR + b',"x":[-Infinity]}',
    "hexadecimal": b"{" + PAIR + b',"x":0x10}',
    "half a surrogate escape": b"{" + PAIR + b',"x":"\\ud8"}',
    "python": b"{" + PAIR + b',"x":None}',
    "gzip": bytes.fromhex("1f8b0800000000000003"),
}
NO_OBJECT: dict[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "huge number": b"1" * 8000,
    "huge float": b"1e999999",
    "string": b'"+989123456789"',
    "array": b"[]",
    "array of objects": b"[{" + PAIR + b"}]",
    "bare NaN": b"NaN",
    "lone surrogate": b'"\\ud800"',
}
WRONG_FIELDS: dict[str, bytes] = {
    "null members": b'{"phone_number":null,"code":null}',
    "integer phone": b'{"phone_number":9123456789,"code":"123456"}',
    "infinite phone": b'{"phone_number":1e999,"code":"123456"}',
    "nested phone": b'{"phone_number":{"phone_number":"+989123456789"},"code":"123456"}',
    "array for a phone": b'{"phone_number":["+989123456789"],"code":"123456"}',
    "surrogate name": b'{"\\ud800":"+989123456789"}',
    "name with NUL": b'{"phone_number\\u0000":"+989123456789"}',
    "no members": b"{}",
    "prototype": b'{"__proto__":{"phone_number":"+989123456789"}}',
}
WRONG_CODE: dict[str, bytes] = {
    "integer code": b'{"phone_number":"+989123456789","code":123456}',
    "8 KiB of code": b'{"phone_number":"+989123456789","code":"' + b"1" * 8000 + b'"}',
    "surrogate code": b'{"phone_number":"+989123456789","code":"12345\\udc00"}',
    "NUL in the code": b'{"phone_number":"+989123456789","code":"12345\\u0000"}',
    "null code": b'{"phone_number":"+989123456789","code":null}',
    "nested code": b'{"phone_number":"+989123456789","code":{"a":[1]}}',
}


@ENDPOINTS
@pytest.mark.parametrize("body", (NOT_JSON | NO_OBJECT).values(), ids=NOT_JSON | NO_OBJECT)
def test_a_body_that_is_no_json_object_is_an_invalid_request(
    sender: Recorder, path: str, body: bytes
) -> None:
    reply = make_api(sender=sender).post(path, body)
    assert_problem(reply, 400, "invalid_request", members=["errors"])
    assert sender.sent == []


@ENDPOINTS
def test_brackets_that_are_closed_are_no_internal_error(path: str) -> None:
    """Python 3.11 reads JSON of at most a thousand levels; newer versions read this body."""
    body = b'{"x":' + b"[" * 4000 + b"]" * 4000 + b"," + PAIR + b"}"
    reply = make_api().post(path, body)
    assert reply.status_code == 400 or (path == SEND and reply.status_code == 200), reply.text


@ENDPOINTS
@pytest.mark.parametrize("body", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_members_of_a_wrong_kind_are_an_invalid_request(sender: Recorder, path: str, body: bytes) -> None:
    reply = make_api(sender=sender).post(path, body)
    problem = assert_problem(reply, 400, "invalid_request", members=["errors"])
    assert "phone_number" in problem["errors"]
    assert sender.sent == []


@pytest.mark.parametrize("body", WRONG_CODE.values(), ids=WRONG_CODE)
def test_codes_of_a_wrong_kind_are_an_invalid_request(body: bytes) -> None:
    problem = assert_problem(make_api().post(VERIFY, body), 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["code"]


@ENDPOINTS
@pytest.mark.parametrize(
    "body",
    [
        b'{"phone_number":"x","phone_number":"+989123456789","code":"000000"}',
        b'{"phone_number":"+989123456789","phone_number":"x","code":"000000"}',
        b'{"phone_number":"+989123456789","code":"x","code":"000000"}',
    ],
)
def test_a_name_given_twice_does_no_harm(sender: Recorder, path: str, body: bytes) -> None:
    reply = make_api(sender=sender).post(path, body)
    assert reply.status_code in (200, 400)
    assert all(phone == PHONE for phone, _, _ in sender.sent)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20)
    | st.sampled_from([PHONE, "123456", "sms", "call"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["phone_number", "code", "channel", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def battered() -> Api:
    return make_api(OTP_IP_LIMITS="1000000/minute", OTP_PHONE_LIMITS="1000000/minute")


@ENDPOINTS
@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_body_whatever_breaks_the_gateway(battered: Api, path: str, body: bytes) -> None:
    reply = battered.post(path, body)
    assert reply.status_code in (200, 400, 429), reply.text
    if reply.status_code != 200:
        assert reply.headers["Content-Type"] == "application/problem+json"


# --- the order of the checks


@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.request("POST", SEND, data=b"x", content_type="text/plain"),
        lambda api: api.post(SEND, b"x" * 9000),
        lambda api: api.post(SEND, b"{"),
        lambda api: api.send("x"),
    ],
    ids=["content type", "size", "body", "number"],
)
def test_the_address_is_checked_first_of_all(ask: Callable[[Api], TestResponse]) -> None:
    api = make_api(OTP_IP_LIMITS="1/minute")
    assert ask(api).status_code in (400, 413, 415)
    assert_problem(ask(api), 429, "rate_limited")


def test_content_type_and_size_are_checked_before_the_body() -> None:
    api = make_api()
    reply = api.request("POST", SEND, data=b"{", content_type="text/plain")
    assert_problem(reply, 415, "unsupported_media_type")
    assert_problem(api.post(SEND, b"{" * 8193), 413, "payload_too_large")


@pytest.mark.parametrize("phone", ["x", "+447400123456"])
def test_the_body_is_checked_before_the_number(phone: str) -> None:
    problem = assert_problem(make_api().verify(phone, "x"), 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["code"]


def test_the_number_is_checked_before_anything_that_belongs_to_a_phone() -> None:
    api = make_api(KAVENEGAR_API_KEY="")
    assert_problem(api.send("x"), 400, "invalid_phone_number")
    assert_problem(api.send("+447400123456"), 400, "unsupported_destination")
    assert_problem(api.send(), 503, "sms_not_configured")


def test_failure_budgets_are_checked_before_the_tries(redis_client: RedisClient) -> None:
    api = make_api(redis_client, OTP_MAX_FAILURES_PER_CLIENT=3)
    spend(api, PHONE, 3)
    refused = api.verify(PHONE, "000000")
    # Tries and budget are both used up. Only the tries would be restored in 300 s.
    assert_problem(refused, 429, "too_many_attempts")
    assert retry_after(refused) > 86_000


def test_failure_budgets_are_checked_before_the_windows(redis_client: RedisClient, sender: Recorder) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=2, OTP_PHONE_LIMITS="1/2minute")
    api.send()
    spend(api, PHONE, 2)
    assert_problem(api.send(), 429, "too_many_attempts")
    assert_problem(api.send(ip=AWAY), 429, "too_many_otp_requests")


def test_a_code_without_tries_is_replaced_and_the_windows_hold_nevertheless(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender, OTP_PHONE_LIMITS="2/2minute")
    api.send()
    first = sender.code_for(PHONE)
    for by in (1, 2, 3):
        api.verify(PHONE, wrong(first, by))
    assert_problem(api.verify(PHONE, first), 429, "too_many_attempts")
    assert api.send().status_code == 200
    assert sender.code_for(PHONE) != first
    assert_problem(api.send(), 429, "too_many_otp_requests")
    assert api.verify(PHONE, sender.code_for(PHONE)).status_code == 200


def test_malformed_codes_cost_no_try_and_no_budget(redis_client: RedisClient, sender: Recorder) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=3, OTP_MAX_FAILURES_PER_PHONE=3)
    api.send()
    for code in ("", "12345", "1234567", "abcdef", None, 123456, "12345\n"):
        assert_problem(api.verify(PHONE, code), 400, "invalid_request", members=["errors"])
    wrong_one = api.verify(PHONE, wrong(sender.code_for(PHONE))).json
    assert wrong_one is not None
    assert wrong_one["attempts_remaining"] == 2
    assert api.verify(PHONE, sender.code_for(PHONE)).status_code == 200


def test_a_refused_guess_is_not_counted_again(redis_client: RedisClient, sender: Recorder) -> None:
    api = make_api(redis_client, sender, OTP_MAX_FAILURES_PER_CLIENT=6)
    api.send()
    first = sender.code_for(PHONE)
    for by in range(1, 12):
        api.verify(PHONE, wrong(first, by))
    # Three tries were compared, and eight were refused. So half of the budget is left for a new code.
    assert api.send().status_code == 200
    guess = wrong(sender.code_for(PHONE))
    left = [(api.verify(PHONE, guess).json or {}).get("attempts_remaining") for _ in range(3)]
    assert left == [2, 1, 0]


def test_every_request_counts_for_its_address_the_malformed_too() -> None:
    api = make_api(OTP_IP_LIMITS="8/minute")
    asked = [
        api.post(SEND, b""),
        api.post(SEND, b"{}"),
        api.post(SEND, b"x" * 9000),
        api.request("POST", SEND, data=b"{}", content_type="text/plain"),
        api.send("x"),
        api.send("+447400123456"),
        api.send(),
        api.send(channel="call"),
    ]
    assert [reply.status_code for reply in asked] == [400, 400, 413, 415, 400, 400, 200, 400]
    left = [reply.headers["RateLimit"].partition(";t=")[0] for reply in asked]
    assert left == [f'"ip";r={r}' for r in range(7, -1, -1)]
    assert_problem(api.send(OTHER), 429, "rate_limited")
