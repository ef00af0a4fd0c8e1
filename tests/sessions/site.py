"""The gateway in this process as a client sees it, and a Redis in which a test lets time pass."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from typing import Any

import redis
from werkzeug.test import TestResponse

from otp_gateway import create_app
from otp_gateway.errors import InvalidToken
from otp_gateway.model import PhoneNumber, Session
from otp_gateway.tokens import TokenPair, Tokens
from tests.api.support import Recorder
from tests.conftest import make_settings
from tests.support import gateway
from tests.support.kavenegar import KavenegarEmulator

PHONE = "+989123456789"
OTHER_PHONE = "+989351112233"
OTP = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
REFRESH = "/api/v1/usr/token/refresh"
REVOKE = "/api/v1/usr/token/revoke"
ME = "/api/v1/usr/me"
JWKS = "/.well-known/jwks.json"
# The tests log in often, and these limits are not their subject.
DEFAULTS = {"OTP_PHONE_LIMITS": "1000/minute", "OTP_IP_LIMITS": "10000/minute"}
NO_IP_LIMIT = {"TOKEN_IP_LIMITS": "10000/minute"}


def environment(redis_url: str, emulator: KavenegarEmulator, **more: str) -> dict[str, str]:
    """The variables of a gateway with none of the limits."""
    own = {"OTP_IP_LIMITS": "10000/minute", "OTP_PHONE_LIMITS": "10000/minute"}
    return gateway.environment(redis_url, emulator, **(NO_IP_LIMIT | own | more))


class Site:
    """A gateway with these variables over this Redis, without cookies of its own."""

    def __init__(self, store: redis.Redis, **variables: object) -> None:
        self.settings = make_settings(**(DEFAULTS | variables))
        self.tokens = Tokens.from_settings(self.settings)
        self.store = store
        self.outbox = Recorder()
        self.app = create_app(self.settings, redis=store, sender=self.outbox)
        self.client = self.app.test_client(use_cookies=False)

    def code(self, phone: str = PHONE) -> str:
        """The code of a new send."""
        sent = self.client.post(OTP, json={"phone_number": phone})
        assert sent.status_code == 200, sent.text
        return self.outbox.code_for(phone)

    def verify(self, phone: str = PHONE, **options: Any) -> TestResponse:
        """The reply to a right code."""
        body = {"phone_number": phone, "code": self.code(phone)}
        return self.client.post(VERIFY, json=body, **options)

    def login(self, phone: str = PHONE) -> dict[str, Any]:
        """The body of a login."""
        reply = self.verify(phone)
        assert reply.status_code == 200, reply.text
        return body_of(reply)

    def refresh(self, token: object) -> TestResponse:
        return self.client.post(REFRESH, json={"refresh_token": token})

    def refreshed(self, token: object) -> dict[str, Any]:
        """The body of a refresh that works."""
        reply = self.refresh(token)
        assert reply.status_code == 200, reply.text
        return body_of(reply)

    def revoke(self, token: object) -> TestResponse:
        return self.client.post(REVOKE, json={"refresh_token": token})

    def me(self, token: str) -> TestResponse:
        return self.client.get(ME, headers={"Authorization": f"Bearer {token}"})

    def lives(self, token: str) -> bool:
        """Whether a refresh token can still be used. The call rotates it."""
        reply = self.refresh(token)
        assert reply.status_code in (200, 401), reply.text
        return reply.status_code == 200

    def pair(self, refresh_token: str, *, ends_in: float, ttl: int = 3600) -> TokenPair:
        """The pair of the token's session as of a login ``ttl - ends_in`` seconds ago on Redis's clock."""
        claims = claims_of(refresh_token)
        login = int(now(self.store) + ends_in) - ttl
        session = Session(claims["sid"], claims["jti"], "A" * 12, login, login, "sms")
        tokens = Tokens.from_settings(make_settings(JWT_REFRESH_TTL=ttl, JWT_ACCESS_TTL=ttl))
        return tokens.issue(PhoneNumber(claims["phone_number"]), session)


def body_of(reply: TestResponse) -> dict[str, Any]:
    body = reply.get_json()
    assert isinstance(body, dict)
    return body


def problem_of(reply: TestResponse) -> tuple[int, str]:
    """Status and code of an error, which is a problem document."""
    assert reply.mimetype == "application/problem+json"
    return reply.status_code, str(json.loads(reply.data)["code"])


INVALID_TOKEN = (401, "invalid_token")


def header_of(token: str) -> dict[str, Any]:
    return _segment(token, 0)


def claims_of(token: str) -> dict[str, Any]:
    return _segment(token, 1)


def _segment(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert isinstance(found, dict)
    return found


def now(store: redis.Redis) -> float:
    """Redis's time in seconds."""
    seconds, micros = store.time()
    return float(seconds + micros / 1e6)


def session_keys(store: redis.Redis) -> list[bytes]:
    """The hashes of sessions, including those that an eleventh login has ended."""
    return sorted(store.scan_iter(match="otp:*:session:*"))


def ttls(store: redis.Redis) -> dict[bytes, int]:
    """When the key of each session expires, in ms of this process's clock."""
    started = int(time.monotonic() * 1000)
    return {key: started + store.pttl(key) for key in store.scan_iter(match="otp:*:session*")}


def pass_time(client: redis.Redis, seconds: float) -> None:
    """Make every session, and every use of its tokens, that much older."""
    store: Any = client  # redis-py has replies be texts or bytes; here they are bytes
    ms = int(seconds * 1000)
    for key in list(store.scan_iter(match="otp:*:session*")):
        left = store.pttl(key) - ms
        if store.type(key) == b"hash":
            for name, value in store.hgetall(key).items():
                if name == b"login":
                    store.hset(key, name, int(value) - ms)
                elif name.startswith(b"s:"):
                    used, _, rest = value.partition(b":")
                    store.hset(key, name, b"%d:%s" % (int(used) - ms, rest))
        else:
            for member, score in store.zrange(key, 0, -1, withscores=True):
                store.zadd(key, {member: score - ms})
        if left > 0:
            store.pexpire(key, left)
        else:
            store.delete(key)


def is_refused(tokens: Tokens, token: str, at: float) -> bool:
    """Whether both readers refuse it. Errors other than ``InvalidToken`` are raised."""
    for read in (tokens.read_access, tokens.read_refresh):
        try:
            read(token, at)
        except InvalidToken:
            continue
        return False
    return not tokens.of_one_session(token, token)
