"""After all kinds of session traffic, every key expires; a reader of Redis or the log learns no secret."""

from __future__ import annotations

import re
from typing import Any

import redis
import requests

from tests.conftest import SECRET_KEY
from tests.sessions.forging import b64, pem_of, private_key
from tests.sessions.site import JWKS, ME, OTP, REFRESH, REVOKE, VERIFY, environment, pass_time
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

NEW_SECRET = "another-tests-only-secret-key-of-some-length"
PHONES = ["+989123456789", "+989351112233"]
OURS = {"Sec-Fetch-Site": "same-origin"}


class Traffic:
    """Calls a gateway in every way, and remembers the texts that must not be found afterwards."""

    def __init__(self, emulator: KavenegarEmulator) -> None:
        self.emulator = emulator
        self.tokens: set[str] = set()
        self.users: set[str] = set()
        self.codes: set[str] = set()

    def note(self, reply: requests.Response) -> requests.Response:
        if reply.headers.get("Content-Type") == "application/json":
            body: dict[str, Any] = reply.json()
            self.tokens |= {body[name] for name in ("access_token", "refresh_token") if name in body}
            if "user" in body:
                self.users.add(body["user"]["id"])
        self.tokens |= {cookie.value for cookie in reply.cookies if cookie.value}
        return reply

    def login(self, gateway: Gateway, phone: str) -> requests.Response:
        assert gateway.post(OTP, {"phone_number": phone}).status_code == 200
        code = self.emulator.code_for(phone)
        self.codes.add(code)
        body = {"phone_number": phone, "code": code}
        reply = self.note(gateway.post(VERIFY, body, headers=OURS))
        assert reply.status_code == 200, reply.text
        return reply

    def in_bodies(self, gateway: Gateway, store: redis.Redis) -> dict[str, Any]:
        """Every outcome of every route. Returns a pair that is still valid."""
        wrong = {"phone_number": PHONES[0], "code": "000000"}
        gateway.post(VERIFY, wrong)
        pairs = [self.login(gateway, phone).json() for phone in PHONES for _ in range(5)]
        pairs += [self.login(gateway, PHONES[0]).json() for _ in range(6)]
        for pair in pairs:
            new = self.note(gateway.post(REFRESH, {"refresh_token": pair["refresh_token"]}))
            self.note(gateway.post(REFRESH, {"refresh_token": pair["refresh_token"]}))
            if new.ok:
                self.note(gateway.get(ME, headers={"Authorization": f"Bearer {pair['access_token']}"}))
        pass_time(store, 10)
        live = self.login(gateway, PHONES[1]).json()
        token = pairs[7]["refresh_token"]
        for path in (REFRESH, REVOKE, REFRESH):
            gateway.post(path, {"refresh_token": token})
        gateway.post(REVOKE, {"refresh_token": pairs[9]["refresh_token"]})
        self.abuse(gateway, live)
        return dict(self.note(gateway.post(REFRESH, {"refresh_token": live["refresh_token"]})).json())

    def abuse(self, gateway: Gateway, pair: dict[str, Any]) -> None:
        """Tokens and phones in every place where a client can put them."""
        access, refresh = pair["access_token"], pair["refresh_token"]
        for bad in (refresh + "x", refresh[:-5], access, "x", "", "\0", "a" * 9000):
            for path in (REFRESH, REVOKE):
                gateway.post(path, {"refresh_token": bad})
                gateway.post(path, {"refresh_token": [bad]})
                gateway.post(path, data=bad.encode(), headers={"Content-Type": "application/json"})
        for value in (f"Basic {access}", f"Bearer {refresh}", access, f"Bearer {access}x"):
            gateway.get(ME, headers={"Authorization": value})
        gateway.request("DELETE", REVOKE, json={"refresh_token": refresh})
        for name in ("X-Request-ID", "User-Agent", "Referer", "Origin", "Cookie", "Sec-Fetch-Site"):
            gateway.get(ME, headers={name: access})
            gateway.get(ME, headers={name: PHONES[0]})
        gateway.get(JWKS)

    def in_paths(self, gateway: Gateway) -> None:
        """The calls of clients that ignore the documentation."""
        pair = self.login(gateway, PHONES[0]).json()
        access, refresh = pair["access_token"], pair["refresh_token"]
        for path in (
            f"{ME}?access_token={access}",
            f"/{refresh}",
            f"{REFRESH}/{refresh}",
            f"/x?p={PHONES[0]}",
        ):
            gateway.get(path)
            gateway.post(path, {"refresh_token": refresh})
        gateway.request("DELETE", f"{REVOKE}?refresh_token={refresh}")

    def in_cookies(self, gateway: Gateway) -> None:
        login = self.login(gateway, PHONES[1])
        jar = {cookie.name: str(cookie.value) for cookie in login.cookies}
        assert set(jar) == {"__Host-access", "__Secure-refresh", "__Secure-device"}

        def header(*names: str) -> dict[str, str]:
            return {"Cookie": "; ".join(f"{name}={jar[name]}" for name in names or jar)}

        gateway.get(ME, headers=OURS | header())
        gateway.get(ME, headers=header())
        for path in (REFRESH, REFRESH, REVOKE, REVOKE):
            gateway.post(path, {}, headers=header())
            gateway.post(path, {}, headers=OURS | header("__Secure-refresh"))
            self.note(gateway.post(path, {}, headers=OURS | header()))
        self.note(self.login(gateway, PHONES[1]))


def everything_in(client: redis.Redis) -> bytes:
    """All keys and all values, one a line."""
    store: Any = client  # redis-py has replies be texts or bytes; here they are bytes
    parts: list[bytes] = []
    for key in store.scan_iter():
        parts.append(key)
        match store.type(key):
            case b"hash":
                parts += [part for pair in store.hgetall(key).items() for part in pair]
            case b"zset":
                parts += [
                    b"%s %d" % (member, score) for member, score in store.zrange(key, 0, -1, withscores=True)
                ]
            case b"list":
                parts += store.lrange(key, 0, -1)
            case b"string":
                parts.append(store.get(key) or b"")
            case other:
                raise AssertionError(other)
    return b"\n".join(parts)


def check(text: str, traffic: Traffic, secrets: list[str]) -> None:
    """Check that the text holds none of the secrets that were sent."""
    assert traffic.tokens
    assert traffic.users
    for token in traffic.tokens:
        for part in token.split("."):
            # Even a part of a part would reveal too much.
            assert part[:40] not in text
            assert part[-30:] not in text
    for phone in PHONES:
        for spelling in (phone, phone[1:], phone[3:], "0" + phone[3:], b64(phone.encode())):
            assert spelling not in text
    for user in traffic.users:
        assert user not in text
        assert user.replace("-", "") not in text
    for code in traffic.codes:
        assert not re.search(rf"(?<![0-9.]){code}(?![0-9])", text)
    for secret in [*secrets, *(secret.encode().hex() for secret in secrets)]:
        assert secret not in text


def test_nothing_stays_for_ever_and_nothing_is_revealed(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    pem = pem_of(private_key("EdDSA"))
    changed = {
        "SECRET_KEY": NEW_SECRET,
        "SECRET_KEY_FALLBACKS": SECRET_KEY,
        "JWT_ALGORITHM": "EdDSA",
        "JWT_PRIVATE_KEY": pem,
    }
    traffic = Traffic(emulator)
    redis_server.clear()
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as store:
        # The most detailed log level, which includes the lines of all libraries.
        base = environment(proxy.url, emulator, LOG_LEVEL="DEBUG")
        with Gateway(base, workers=1) as gateway:
            live = traffic.in_bodies(gateway, store)
            # Redis becomes unavailable in the middle of the traffic.
            proxy.drop_replies(10_000)
            assert gateway.post(REFRESH, {"refresh_token": live["refresh_token"]}).status_code == 503
            proxy.reset()
        with Gateway(base | changed | {"CORS_ORIGINS": "https://app.example.com"}, workers=1) as other:
            new = traffic.note(other.post(REFRESH, {"refresh_token": live["refresh_token"]}))
            assert new.status_code == 200
            other.post(REVOKE, {"refresh_token": new.json()["refresh_token"]})
            traffic.login(other, PHONES[0])
        with Gateway(base | changed | {"AUTH_COOKIES": "true"}, workers=1) as third:
            traffic.in_cookies(third)

        keys = list(store.scan_iter())
        assert any(b":session:" in key for key in keys)
        assert any(key.startswith(b"ip:") for key in keys)
        assert [key for key in keys if store.pttl(key) <= 0] == []
        assert all(store.pttl(key) <= 2_592_000_000 for key in keys)
        secrets = [SECRET_KEY, NEW_SECRET, emulator.api_key, pem.splitlines()[1]]
        check(everything_in(store).decode("latin-1"), traffic, secrets)
        log = gateway.log() + other.log() + third.log()
        assert log.count(REFRESH) > 30
        check(log, traffic, secrets)
        assert "Traceback" not in log


def test_what_a_client_writes_into_a_path_is_not_in_the_log(emulator: KavenegarEmulator) -> None:
    traffic = Traffic(emulator)
    with Gateway(environment("", emulator, LOG_LEVEL="DEBUG"), workers=1) as gateway:
        traffic.in_paths(gateway)
    check(gateway.log(), traffic, [SECRET_KEY, emulator.api_key])
