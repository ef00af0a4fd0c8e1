"""A store under test: its calls in one line each, time that can be moved, and the data in Redis."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis

from otp_gateway.abuse.gate import Home
from otp_gateway.admission import Admission
from otp_gateway.codes import Codes
from otp_gateway.errors import InvalidCode
from otp_gateway.events import UnusedCharge
from otp_gateway.model import (
    Caller,
    Channel,
    Clock,
    GateRules,
    Issued,
    PhoneNumber,
    Policy,
    SendRequest,
    Session,
    Window,
)
from otp_gateway.store.address_limits import AddressLimits
from otp_gateway.store.client import RedisClient
from otp_gateway.store.codes import CodeStore
from otp_gateway.store.connect import _Cluster
from otp_gateway.store.gate import GateStore
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.logins import LoginStore
from otp_gateway.store.scripts import Reply, Scripts
from otp_gateway.store.sessions import SessionStore

SECRET_KEY = "tests-only-secret-key-of-forty-characters"
PHONE = PhoneNumber("+989123456789")
OTHER_PHONE = PhoneNumber("+989351112233")
DAY = 86_400
# The contract's defaults, as numbers.
POLICY = Policy(
    length=6,
    lifetime=300,
    max_attempts=3,
    windows=(Window(3, 120), Window(10, 3600), Window(20, DAY)),
    max_failures_per_client=10,
    max_failures_per_phone=50,
    session_lifetime=30 * DAY,
    device_lifetime=90 * DAY,
)
# Milliseconds by which two readings of one moment may differ on a busy machine.
SLACK = 2000
# Scripts write a time as milliseconds since 1970. No id and no digest looks like it.
STAMP = re.compile(rb"(?<!\d)1\d{12}(?!\d)")

Snapshot = tuple[dict[bytes, Any], dict[bytes, int]]


class RecordedScripts(Scripts):
    """The scripts, and the arguments of their last calls."""

    calls: list[tuple[str, Sequence[str], Sequence[str | int]]]

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int], timeout: float) -> Reply:
        self.calls = [*getattr(self, "calls", []), (name, keys, args)]
        return super().run(name, keys, args, timeout)


class Bench:
    """A store over ``client``. The test itself reads Redis through ``direct``, by default the same client."""

    def __init__(
        self,
        client: RedisClient,
        direct: RedisClient | None = None,
        *,
        gate: GateRules | None = None,
        **policy: Any,
    ) -> None:
        """``policy``: differences from the contract's defaults. ``gate``: by default, no gate."""
        self.codes = Codes(SECRET_KEY, 6)
        self.policy = replace(POLICY, **policy)
        self.scripts = RecordedScripts(client)
        apart = isinstance(client, _Cluster)
        # The charges that a gateway gives back in the background.
        self.reported: list[UnusedCharge] = []
        self.gate = GateStore(
            self.scripts,
            gate or GateRules(),
            Home(["IR"]).is_foreign,
            apart=apart,
            report=self.reported.append,
        )
        self.store = CodeStore(self.scripts, self.codes, self.policy, self.gate)
        self.logins = LoginStore(self.scripts, self.codes, self.policy, self.gate)
        self.sessions = SessionStore(self.scripts, [self.codes])
        self.limits = AddressLimits(self.scripts)
        self._direct = client if direct is None else direct

    def load(self) -> None:
        """Make Redis ready for requests, as a starting gateway does."""
        self.scripts.load()
        self.limits.read_clock()

    @property
    def redis(self) -> redis.Redis:
        """The client of a single server, for the test's own commands."""
        assert isinstance(self._direct, redis.Redis)
        return self._direct

    def run(self, *command: Any) -> Any:
        """Redis's reply to one of the test's own commands."""
        return self.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py has left it so

    def now(self) -> int:
        """Redis's time in milliseconds."""
        seconds, micros = self.run("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def caller(
        self, client: str = "home", *, read_ago: float = 0, made_at: int | None = None, key: str | None = None
    ) -> Caller:
        """A request of this client. Its clock was read ``read_ago`` seconds ago and has not moved since.

        ``made_at``: when its device token was made, ``key``: its idempotency key.
        """
        return Caller(client, Clock.read(self.now() - int(1000 * read_ago)), key, made_at)

    def device(self, client: str = "home", *, key: str | None = None) -> Caller:
        """A request with a valid device token, which was made a minute ago."""
        return self.caller(client, made_at=self.now() - 60_000, key=key)

    def issue(
        self,
        client: str | Caller = "home",
        *,
        channel: Channel = "sms",
        phone: PhoneNumber = PHONE,
    ) -> Issued:
        """Charge one send."""
        caller = client if isinstance(client, Caller) else self.caller(client)
        issued = self.store.issue(SendRequest(phone, channel), caller, self.codes.propose(phone))
        assert isinstance(issued, Issued)
        return issued

    def withdraw(self, issued: Issued, caller: Caller | None = None, *, phone: PhoneNumber = PHONE) -> None:
        """Take one send back."""
        self.store.withdraw(phone, issued, caller or self.caller())

    def verify(
        self, code: str | Issued, client: str | Caller = "home", *, phone: PhoneNumber = PHONE
    ) -> Session:
        """Guess this code, or the one that was issued."""
        digits = self.code(code, phone=phone) if isinstance(code, Issued) else code
        caller = client if isinstance(client, Caller) else self.caller(client)
        return self.logins.verify(phone, digits, caller).session

    def fail(self, client: str = "home", *, phone: PhoneNumber = PHONE) -> int:
        """Guess wrong; return how many tries are left. Errors other than ``InvalidCode`` are raised."""
        with pytest.raises(InvalidCode) as error:
            self.verify(self.wrong(phone), client, phone=phone)
        return error.value.attempts_remaining

    def admit(
        self,
        *networks: str,
        endpoint: str = "otp",
        windows: Sequence[Window] = (Window(5, 60),),
        share: int = 10,
    ) -> Admission:
        """Count one request of an address."""
        return self.limits.admit(networks or ("net",), endpoint, windows, share)

    def code(self, issued: Issued, *, phone: PhoneNumber = PHONE) -> str:
        """The code in the SMS of this send."""
        return self.codes.derive(phone, issued.nonce)

    def wrong(self, phone: PhoneNumber = PHONE) -> str:
        """Six digits that are not the active code."""
        nonce = self.run("HGET", self.keys(phone).code, "nonce")
        right = self.codes.derive(phone, nonce.decode()) if nonce else ""
        return "000000" if right != "000000" else "000001"

    def keys(self, phone: PhoneNumber = PHONE) -> PhoneKeys:
        """The names of the phone's keys."""
        return PhoneKeys(self.codes.pid(phone))

    def replay(self, call: tuple[str, Sequence[str], Sequence[str | int]] | None = None) -> Reply:
        """Run a script once more with the same arguments as in a call, by default the last one."""
        name, keys, args = call or self.scripts.calls[-1]
        return Scripts(self._direct).run(name, keys, args, 1)

    def advance(self, seconds: float) -> None:
        """Let time pass: make every key, and every time in a value, that much older."""
        ms = round(seconds * 1000)
        run = self.run
        for key in run("KEYS", "*"):
            kind = run("TYPE", key)
            if kind == b"hash":
                for field, value in run("HGETALL", key).items():
                    run("HSET", key, field, _older(value, ms))
            elif kind == b"list":
                for index, value in enumerate(run("LRANGE", key, 0, -1)):
                    run("LSET", key, index, _older(value, ms))
            elif kind == b"string" and key.startswith((b"gate:", b"otp:")) and b":call:" not in key:
                run("SET", key, _older(run("GET", key), ms), "KEEPTTL")
            elif kind == b"zset":
                for member in run("ZRANGE", key, 0, -1):
                    run("ZINCRBY", key, -ms, member)
            elif kind == b"string":
                run("SET", key, _older(run("GET", key), ms), "KEEPTTL")
            # Zero or less deletes.
            run("PEXPIRE", key, run("PTTL", key) - ms)

    def snapshot(self) -> Snapshot:
        """The data in Redis, and the expiry of each key. Every key must have one."""
        run = self.run
        read = {
            b"string": lambda key: run("GET", key),
            b"hash": lambda key: run("HGETALL", key),
            b"list": lambda key: run("LRANGE", key, 0, -1),
            b"zset": lambda key: run("ZRANGE", key, 0, -1, "WITHSCORES"),
        }
        values, ends = {}, {}
        for key in run("KEYS", "*"):
            left = run("PTTL", key)
            assert left != -1, f"{key} lives for ever"
            if left >= 0:
                ends[key] = self.now() + left
                values[key] = read[run("TYPE", key)](key)
        return values, ends

    def assert_same(self, before: Snapshot) -> None:
        """Check that the data in Redis have not changed, including every value and expiry."""
        values, ends = self.snapshot()
        assert values == before[0]
        assert ends == pytest.approx(before[1], abs=SLACK)


def settle() -> None:
    """Let a few milliseconds pass, so that equal times are not a coincidence."""
    time.sleep(0.005)


def _older(value: bytes, ms: int) -> bytes:
    return STAMP.sub(lambda stamp: b"%d" % (int(stamp[0]) - ms), value)
