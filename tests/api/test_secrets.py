"""After a full run, Redis, log and replies hold no secret, and no request called Redis too often."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import requests

from otp_gateway.store import connect
from otp_gateway.store.scripts import Scripts, sources
from tests.api.support import SEND, VERIFY, wrong
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until

SECRET_KEY = "nobody-shall-ever-read-this-secret-key-anywhere"
API_KEY = "6B6579-that-stays-with-the-provider"
PHONES = [f"+98912{number:07d}" for number in range(4_815_160, 4_815_175)]
# The commands that a request sends to Redis. A script's own commands are others. The recorder writes in the
# background.
OF_REQUESTS = ("EVALSHA", "EVAL", "SCRIPT", "PING", "AUTH", "SELECT")
OF_RECORDER = tuple(Scripts(connect(None))._digests[name] for name in ("record", "tally", "give_back"))

# The second name is that of Redis 7.
SCRIPT_LOADS = ("script", "script|load")


def calls(store: redis.Redis, names: Sequence[str]) -> int:
    """How often Redis has run these commands."""
    stats = store.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


@dataclass
class Run:
    """One gateway, all requests to it, and all replies."""

    gateway: Gateway
    emulator: KavenegarEmulator
    store: redis.Redis
    replies: list[requests.Response] = field(default_factory=list)
    logins: list[dict[str, Any]] = field(default_factory=list)
    guesses: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    trips: dict[str, set[int]] = field(default_factory=dict)
    eternal: set[bytes] = field(default_factory=set)

    def ask(self, method: str, path: str, ip: str, label: str, **options: Any) -> requests.Response:
        """Make a request; record how many commands it used, and which keys without TTL it left."""
        headers = {"X-Forwarded-For": ip, **options.pop("headers", {})}
        before = self._commands()
        reply = self.gateway.request(method, path, headers=headers, **options)
        outcome = reply.json().get("code", "ok")
        self.trips.setdefault(f"{label}: {outcome}", set()).add(self._commands() - before)
        self.eternal |= {key for key in self.store.scan_iter() if self.store.pttl(key) == -1}
        self.replies.append(reply)
        return reply

    def send(self, phone: str, ip: str, **more: object) -> requests.Response:
        reply = self.ask("POST", SEND, ip, "send", json={"phone_number": phone, **more})
        self.codes |= {self.emulator.code_for(m.receptor) for m in self.emulator.messages}
        return reply

    def guess(self, phone: str, code: str, ip: str) -> requests.Response:
        self.guesses.add(code)
        reply = self.ask("POST", VERIFY, ip, "verify", json={"phone_number": phone, "code": code})
        if reply.status_code == 200:
            self.logins.append(reply.json())
        return reply

    def _commands(self) -> int:
        return sum(
            command.startswith(OF_REQUESTS) and not any(digest in command for digest in OF_RECORDER)
            for command in commands(self.store)
        )

    @property
    def tokens(self) -> list[str]:
        return [login[name] for login in self.logins for name in ("access_token", "refresh_token")]


def play(run: Run) -> None:
    """All calls of the API, right and wrong ones."""
    for number, phone in enumerate(PHONES[:4]):
        ip = f"192.0.2.{number}" if number % 2 else f"2001:db8:{number}::1"
        run.send(phone, ip)
        run.send(f"0{phone[3:]}", ip)
        code = run.emulator.code_for(phone)
        for by in (1, 2):
            run.guess(phone, wrong(code, by), ip)
        run.guess(phone, code, ip)
        run.guess(phone, code, ip)
    # A second session, and a second code that stays active.
    run.send(PHONES[0], "192.0.2.20")
    run.guess(PHONES[0], run.emulator.code_for(PHONES[0]), "192.0.2.20")
    run.send(PHONES[1], "192.0.2.20")
    # The phone's windows, its tries, its budgets.
    for number in range(5):
        run.send(PHONES[5], f"192.0.2.{30 + number}")
    for number in range(5):
        run.guess(PHONES[5], wrong(run.emulator.code_for(PHONES[5]), 1 + number), f"192.0.2.{30 + number}")
    for number in range(7):
        run.guess(PHONES[6], f"{271_828 + number}", "192.0.2.40")
    # Failures of the provider, of both kinds, before and after an active code.
    for phone, fault in (
        (PHONES[7], faults.code(418)),
        (PHONES[8], faults.code(411, http=200)),
        (PHONES[9], faults.entry_status(6)),
        (PHONES[1], faults.code(403)),
        (PHONES[10], faults.html(502, deliver=True)),
        (PHONES[11], faults.hang(deliver=True)),
        (PHONES[12], faults.invalid_json()),
    ):
        run.emulator.set_fault(fault)
        run.send(phone, f"192.0.2.{50 + PHONES.index(phone)}")
    run.emulator.set_fault(None)
    # Requests that no route serves, with secrets in places that the log must ignore.
    phone, code = PHONES[1], run.emulator.code_for(PHONES[1])
    token = run.tokens[0]
    run.ask("GET", f"/{phone}/{code}", "192.0.2.70", "unknown", params={"phone": phone, "code": code})
    run.ask(
        "GET", "/healthz", "192.0.2.70", "healthz", params={"code": code}, headers={"X-Request-ID": phone[1:]}
    )
    run.ask("GET", "/readyz", "192.0.2.70", "readyz", headers={"Authorization": f"Bearer {token}"})
    run.ask("GET", SEND, "192.0.2.70", "method", params={"phone_number": phone})
    run.ask("POST", SEND, "192.0.2.71", "malformed", data=f"{phone}&{code}")
    run.ask("POST", SEND, "192.0.2.71", "malformed", json=[phone, code, token])
    run.ask("POST", VERIFY, "192.0.2.71", "malformed", json={"phone_number": phone, "code": f"{code}x"})
    run.ask("POST", VERIFY, "192.0.2.71", "malformed", json={"phone_number": token, "code": code})
    run.ask("POST", SEND, phone, "malformed", json={"phone_number": phone, "channel": code})
    for _ in range(7):
        run.ask("POST", SEND, "192.0.2.72", "malformed", json={"phone_number": f"{phone};{code}"})


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with (
        RedisServer("--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000") as server,
        KavenegarEmulator(API_KEY) as emulator,
        Gateway(
            {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": server.url,
                "KAVENEGAR_API_KEY": API_KEY,
                "KAVENEGAR_BASE_URL": emulator.base_url,
                "TRUSTED_PROXIES": "1",
                "SMS_TIMEOUT": "0.8",
                "LOG_LEVEL": "DEBUG",
                "OTP_MAX_FAILURES_PER_CLIENT": "6",
            }
        ) as gateway,
        server.client() as store,
    ):
        run = Run(gateway, emulator, store)
        scripts = len(sources())
        # One worker answers while the other is still starting.
        wait_until(lambda: calls(store, SCRIPT_LOADS) == 2 * scripts, "both workers")
        play(run)
        yield run


def everything(store: redis.Redis) -> Iterator[str]:
    """Every key and every value of every type, as text."""
    for key in store.scan_iter():
        yield key.decode("latin-1")
        match store.type(key):
            case b"string":
                values: Any = [store.get(key)]
            case b"hash":
                values = [part for pair in store.hgetall(key).items() for part in pair]
            case b"list":
                values = store.lrange(key, 0, -1)
            case b"set":
                values = store.smembers(key)
            case b"zset":
                values = [part for pair in store.zrange(key, 0, -1, withscores=True) for part in pair]
            case other:
                raise AssertionError(f"a type that nobody expects: {other!r}")
        for value in values:
            yield value.decode("latin-1") if isinstance(value, bytes) else f"{value:.0f}"


def commands(store: redis.Redis) -> Iterator[str]:
    """Every command that was sent to Redis or that a script ran, with its arguments."""
    for entry in store.slowlog_get(100_000):
        yield entry["command"].decode("latin-1")


def phone_forms(phones: list[str]) -> Iterator[str]:
    for phone in phones:
        # Every other format contains the national one.
        yield phone[3:]
        for form in (phone, phone[1:], f"0{phone[3:]}", phone[3:]):
            for make in (hashlib.md5, hashlib.sha1, hashlib.sha256):
                raw = make(form.encode()).digest()
                yield raw.hex()
                yield base64.urlsafe_b64encode(raw).decode()[:16]


def found(texts: Iterator[str] | list[str], words: list[str], codes: set[str]) -> list[str]:
    """The texts that contain one of the words, or one of the codes as a separate number."""
    pattern = re.compile(
        "|".join([*map(re.escape, words), rf"(?<![0-9])(?:{'|'.join(sorted(codes))})(?![0-9])"])
    )
    return [text for text in texts if pattern.search(text)]


def secrets_of(run: Run) -> list[str]:
    signed = [part for token in run.tokens for part in token.split(".")[1:]]
    return [
        SECRET_KEY,
        API_KEY,
        *signed,
        *(login["user"]["id"] for login in run.logins),
        *phone_forms(PHONES),
    ]


def test_the_run_has_seen_everything(run: Run) -> None:
    statuses = {reply.status_code for reply in run.replies}
    assert statuses == {200, 400, 404, 405, 415, 429, 502, 504}
    codes = {r.json()["code"] for r in run.replies if r.status_code == 429}
    assert codes == {"too_many_attempts", "too_many_otp_requests", "rate_limited"}
    assert len(run.logins) == 5
    assert len(run.codes) >= 8
    kinds = {run.store.type(key) for key in run.store.scan_iter()}
    assert kinds == {b"string", b"hash", b"list", b"zset"}


def test_the_scan_would_find_what_it_looks_for(run: Run) -> None:
    code = min(run.codes)
    planted = [
        f"x{PHONES[3][3:]}y",
        f"1:{code}:2",
        run.tokens[0],
        hashlib.sha256(PHONES[0].encode()).hexdigest(),
    ]
    assert found(planted, secrets_of(run), run.codes) == planted
    assert found([f"1{code}", "nothing"], secrets_of(run), {code}) == []


def test_no_key_is_ever_without_a_ttl(run: Run) -> None:
    assert run.eternal == set()
    assert run.store.dbsize() > 20


def test_no_key_outlives_the_longest_thing_that_it_can_stand_for(run: Run) -> None:
    longest = 2_592_000 * 1000
    assert all(0 < run.store.pttl(key) <= longest for key in run.store.scan_iter())


def test_redis_holds_no_code_phone_key_or_token(run: Run) -> None:
    assert found(everything(run.store), secrets_of(run), run.codes | run.guesses) == []


def test_redis_is_never_told_one_either(run: Run) -> None:
    told = list(commands(run.store))
    assert sum("EVALSHA" in command for command in told) > 50
    assert found(told, secrets_of(run), run.codes | run.guesses) == []


def test_the_log_holds_none(run: Run) -> None:
    log = run.gateway.log().splitlines()
    assert len(log) > len(run.replies)
    assert found(log, secrets_of(run), run.codes | run.guesses) == []


def test_phones_are_masked_in_the_log(run: Run) -> None:
    assert "+98912***5160" in run.gateway.log()


def test_no_reply_but_a_login_holds_one(run: Run) -> None:
    for reply in run.replies:
        if "access_token" in reply.text:
            continue
        text = [reply.text, str(reply.headers)]
        words = secrets_of(run)
        if reply.status_code == 200:
            # The reply to a send contains the phone, as the contract says.
            words = words[: -len(list(phone_forms(PHONES)))]
        assert found(text, words, run.codes | run.guesses) == []


def test_a_login_holds_its_own_tokens_and_neither_key_nor_code(run: Run) -> None:
    logins = [reply for reply in run.replies if "access_token" in reply.text]
    assert len(logins) == len(set(run.tokens)) // 2
    for reply in logins:
        assert reply.headers["Cache-Control"] == "no-store"
        visible = re.sub(r'"(access|refresh)_token":\s*"[^"]*"', "", reply.text)
        assert found([visible, str(reply.headers)], [SECRET_KEY, API_KEY], run.codes) == []
        for token in (reply.json()["access_token"], reply.json()["refresh_token"]):
            claims = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
            assert found([claims], [SECRET_KEY, API_KEY], run.codes) == []


def test_no_request_makes_more_round_trips_than_it_may(run: Run) -> None:
    assert run.trips == {
        "send: ok": {2},
        "send: too_many_otp_requests": {2},
        "send: sms_failed": {3},
        "send: sms_unconfirmed": {2},
        "verify: ok": {2},
        "verify: invalid_code": {2},
        "verify: too_many_attempts": {2},
        "verify: rate_limited": {1},
        "malformed: invalid_request": {1},
        "malformed: invalid_phone_number": {1},
        "malformed: unsupported_media_type": {1},
        "malformed: rate_limited": {1},
        "unknown: not_found": {0},
        "method: method_not_allowed": {0},
        "healthz: ok": {0},
        "readyz: ok": {1},
    }
