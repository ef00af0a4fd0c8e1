"""A client for the API under test, fake senders, and the format of a problem document."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis
from flask import Flask
from werkzeug.test import TestResponse

from otp_gateway import create_app
from otp_gateway.codes import Codes
from otp_gateway.messages import Message
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from otp_gateway.store.keys import PhoneKeys
from tests.conftest import SECRET_KEY, make_settings
from tests.support.kavenegar import KavenegarEmulator

PHONE = "+989123456789"
OTHER = "+989351112233"
SEND = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
HOME = "192.0.2.1"
AWAY = "192.0.2.2"
# Only the tests of the address's limit may reach that limit.
ROOMY = "1000/minute"
STANDARD = {"type", "title", "status", "detail", "code"}


class Recorder:
    """Accepts every code, or raises the error in `fault`, after `seconds`."""

    configured = True

    def __init__(self, fault: Exception | None = None, seconds: float = 0) -> None:
        self.fault = fault
        self.seconds = seconds
        self.sent: list[tuple[str, str, Channel]] = []

    def send(self, message: Message, deadline: float) -> None:
        assert 0 <= message.reference < 2**62
        assert deadline > time.monotonic()
        time.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        self.sent.append((message.phone.e164, message.code, message.channel))

    def code_for(self, e164: str) -> str:
        """The last code that was sent to this phone."""
        return [code for phone, code, _ in self.sent if phone == e164][-1]


class Api:
    """The gateway's API as different clients see it; `ip` is the peer's address."""

    def __init__(self, app: Flask, store: RedisClient) -> None:
        self.app = app
        self.client = app.test_client(use_cookies=False)
        self.redis = cast("redis.Redis", store)

    def request(
        self,
        method: str,
        path: str,
        *,
        ip: str = HOME,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        **options: Any,
    ) -> TestResponse:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        return self.client.open(
            path, method=method, headers=pairs, environ_overrides={"REMOTE_ADDR": ip}, **options
        )

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.request("GET", path, **options)

    def post(self, path: str, body: object, **options: Any) -> TestResponse:
        """POST bytes unchanged, and anything else as JSON; both as application/json."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, data=data, content_type="application/json", **options)

    def send(self, phone: object = PHONE, *, channel: object = None, **options: Any) -> TestResponse:
        body = {"phone_number": phone} | ({"channel": channel} if channel is not None else {})
        return self.post(SEND, body, **options)

    def verify(self, phone: object, code: object, **options: Any) -> TestResponse:
        return self.post(VERIFY, {"phone_number": phone, "code": code}, **options)

    def pass_time(self, seconds: int) -> None:
        """Make every key of the phones older, and the tries and budgets in it. Expired keys are deleted."""
        for key in list(self.redis.scan_iter("otp:*")):
            left = int(self.redis.pttl(key)) - 1000 * seconds
            if key.endswith(b":tries"):
                self._age(key, 1000 * seconds)
            if left > 0:
                self.redis.pexpire(key, left)
            else:
                self.redis.delete(key)

    def _age(self, tries: bytes, ms: int) -> None:
        fields = cast("dict[bytes, bytes]", self.redis.hgetall(tries))
        for field, value in fields.items():
            count, colon, ends = value.rpartition(b":")
            if colon or field == b"tries_end":
                self.redis.hset(tries, field, b"%s%s%d" % (count, colon, int(ends) - ms))


def make_api(
    store: RedisClient | None = None,
    sender: Recorder | None = None,
    emulator: KavenegarEmulator | None = None,
    **variables: object,
) -> Api:
    """The application over the given store, or over a new embedded one.

    Codes go to the emulator, the sender, or the provider that the variables name; otherwise to a recorder.
    """
    store = store or connect(None)
    values: dict[str, object] = {"OTP_IP_LIMITS": ROOMY}
    if emulator is not None:
        values |= {"KAVENEGAR_API_KEY": emulator.api_key, "KAVENEGAR_BASE_URL": emulator.base_url}
    elif sender is None and "KAVENEGAR_API_KEY" not in variables:
        sender = Recorder()
    app = create_app(make_settings(**values | variables), redis=store, sender=sender)
    return Api(app, store)


def wrong(code: str, by: int = 1) -> str:
    """Another code of the same length."""
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}d}"


def keys_of(e164: str) -> PhoneKeys:
    """The names of a phone's keys under the tests' secret key."""
    return PhoneKeys(Codes(SECRET_KEY, 6).pid(PhoneNumber(e164)))


def set_failures(
    store: RedisClient, keys: PhoneKeys, count: int, *, seconds: int = 1000, client: str | None = None
) -> None:
    """Use up a failure budget of the phone, or of one client's network, as verify.lua does it."""
    redis_ = cast("redis.Redis", store)
    now, micros = redis_.time()
    ends = 1000 * (now + seconds) + micros // 1000
    redis_.hset(keys.tries, _budget(client), f"{count}:{ends}")
    if redis_.pttl(keys.tries) < 1000 * seconds:
        redis_.pexpireat(keys.tries, ends)


def failures_of(store: RedisClient, keys: PhoneKeys, client: str | None = None) -> tuple[int, float]:
    """The count of a failure budget and the seconds until it is free; zeros if there is none."""
    redis_ = cast("redis.Redis", store)
    value = cast("bytes | None", redis_.hget(keys.tries, _budget(client)))
    if value is None:
        return 0, 0.0
    count, ends = map(int, value.split(b":"))
    now, micros = redis_.time()
    return count, ends / 1000 - now - micros / 1e6


def _budget(client: str | None) -> str:
    return f"failures:{client}" if client else "failures"


def assert_problem(
    reply: TestResponse, status: int, code: str, detail: str | None = None, members: Sequence[str] = ()
) -> dict[str, Any]:
    """Check that the reply is a problem document with exactly these members; return its body."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["X-Request-ID"]
    body: dict[str, Any] = json.loads(reply.data)
    assert set(body) == STANDARD | set(members)
    assert body["status"] == status
    assert body["code"] == code
    for name in ("type", "title", "detail"):
        assert isinstance(body[name], str)
        assert body[name]
    if detail is not None:
        assert body["detail"] == detail
    retriable = status in (429, 503)
    assert ("Retry-After" in reply.headers) == retriable
    if retriable:
        assert retry_after(reply) >= 1
    return body


def retry_after(reply: TestResponse) -> int:
    """Retry-After, which must be whole seconds."""
    value = reply.headers["Retry-After"]
    assert value.isascii()
    assert value.isdigit()
    return int(value)
