"""The gateway's own scripts on a real Redis, in virtual time.

Only the clock is replaced: the scripts read the time from a key, and the expiry of each key is in a hash. All
other parts are the real ones. So an hour of the simulation takes no time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import redis

from otp_gateway.abuse.gate import Home
from otp_gateway.codes import Codes
from otp_gateway.credit import Decision, Earned, GateMode
from otp_gateway.errors import TooManyOtpRequests
from otp_gateway.events import Batch, LoginEvent
from otp_gateway.model import (
    Caller,
    Clock,
    GateRules,
    Issued,
    PhoneNumber,
    Policy,
    SendRequest,
    Solution,
    Window,
)
from otp_gateway.store import connect
from otp_gateway.store.codes import CodeStore
from otp_gateway.store.gate import GateRefusal, GateStore
from otp_gateway.store.gate_writer import CreditWriter
from otp_gateway.store.logins import LoginStore
from otp_gateway.store.scripts import Reply, Scripts
from tests.support.redis_server import RedisServer

SECRET_KEY = "tests-only-secret-key-of-forty-characters"
CLOCK = "simulation:clock"
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
FLUSH = 2 * SECOND
# This is put before each script, which then calls Redis through it. The simulation sets the time and the
# expiry of each key.
VIRTUAL = """
local ENDS = 'simulation:ends'
local VIRTUAL_NOW = tonumber(redis.call('GET', 'simulation:clock'))
local function virtual(command, key, ...)
  local args = { ... }
  if command == 'TIME' then
    return { math.floor(VIRTUAL_NOW / 1000), 1000 * (VIRTUAL_NOW % 1000) }
  elseif command == 'PEXPIRE' then
    return redis.call('HSET', ENDS, key, string.format('%.0f', VIRTUAL_NOW + args[1]))
  elseif command == 'PEXPIREAT' then
    return redis.call('HSET', ENDS, key, args[1])
  elseif command == 'PTTL' then
    if redis.call('EXISTS', key) == 0 then
      return -2
    end
    local ends = redis.call('HGET', ENDS, key)
    return ends and tonumber(ends) - VIRTUAL_NOW or -1
  elseif command == 'SET' then
    for i = 2, #args do
      if args[i] == 'PX' then
        redis.call('HSET', ENDS, key, string.format('%.0f', VIRTUAL_NOW + args[i + 1]))
      end
    end
    return redis.call('SET', key, args[1])
  end
  if key == nil then
    return redis.call(command)
  end
  return redis.call(command, key, ...)
end
for i, ends in ipairs(#KEYS > 0 and redis.call('HMGET', ENDS, unpack(KEYS)) or {}) do
  if ends and tonumber(ends) <= VIRTUAL_NOW then
    redis.call('DEL', KEYS[i])
    redis.call('HDEL', ENDS, KEYS[i])
  end
end
"""
# The windows, budgets and lifetimes of the contract.
POLICY = Policy(
    length=6,
    lifetime=300,
    max_attempts=3,
    windows=(Window(3, 120), Window(10, 3600), Window(20, 86_400)),
    max_failures_per_client=10,
    max_failures_per_phone=50,
    session_lifetime=2_592_000,
    device_lifetime=7_776_000,
)


class VirtualScripts(Scripts):
    """The scripts with a clock that the simulation sets."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._sources = {name: _virtual(text) for name, text in self._sources.items()}
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            for name, text in self._sources.items()
        }

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int], timeout: float) -> Reply:
        """Run the script without a deadline: time passes only when the simulation says so."""
        return super().run(name, keys, args, max(timeout, 60))


def _virtual(text: str) -> str:
    return VIRTUAL + text.replace("redis.call(", "virtual(")


class World:
    """A site with a send gate. ``now`` is in milliseconds of virtual time."""

    def __init__(
        self,
        server: RedisServer,
        *,
        mode: GateMode = "on",
        credit: int = 60,
        budget: tuple[Window, ...] = (),
    ) -> None:
        server.clear()
        self.redis: redis.Redis = server.client()
        self.scripts = VirtualScripts(connect(server.url))
        self.scripts.load()
        self.codes = Codes(SECRET_KEY, POLICY.length)
        self.gate = GateStore(self.scripts, GateRules(mode, credit, budget), Home(["IR"]).is_foreign)
        self.store = CodeStore(self.scripts, self.codes, POLICY, self.gate)
        self.logins = LoginStore(self.scripts, self.codes, POLICY, self.gate)
        self.warnings: list[int] = []
        self._writer = CreditWriter(self.gate, self.warnings.append)
        self._earned: list[Earned] = []
        self._numbers = count(1)
        self.now = 1_800_000_000_000
        self._flushed_at = self.now
        self.redis.set(CLOCK, self.now)

    def go_to(self, moment: int) -> None:
        """Let time pass, and flush the recorder at its intervals."""
        while self._earned and moment >= self._flushed_at + FLUSH:
            self._set(max(self.now, self._flushed_at + FLUSH))
            self.flush()
        self._set(max(self.now, moment))

    def flush(self) -> None:
        """Give back the credit that the logins since the last flush have earned."""
        self._flushed_at = self.now
        if self._earned:
            events = tuple(_event(earned, self.now) for earned in self._earned)
            self._earned = []
            self._writer.write(Batch(f"batch-{next(self._numbers)}", events, {}))

    def count_messages(self, number: int) -> None:
        """Count so many further messages of sends in the budget, as the recorder does."""
        self.gate.give_back(f"messages-{next(self._numbers)}", [], number)

    def send(
        self, phone: PhoneNumber, network: str, solution: Solution | None = None
    ) -> tuple[Decision | None, Issued | None]:
        """Request a send: the gate's decision, and the send if it was made.

        The result is ``None`` without a send if the phone's own windows are full.
        """
        try:
            issued = self.store.issue(
                SendRequest(phone), self._caller(network), self.codes.propose(phone), solution=solution
            )
        except GateRefusal as refusal:
            return refusal.decision, None
        except TooManyOtpRequests:
            return None, None
        assert isinstance(issued, Issued)
        return issued.gate, issued

    def solution(self) -> Solution:
        """A solved challenge. Redis does not check the solution, so the solution is not simulated."""
        return Solution(f"solution-{next(self._numbers)}", self.now + 2 * MINUTE, 0)

    def login(self, phone: PhoneNumber, network: str, issued: Issued) -> Earned:
        """Use the code of the send."""
        login = self.logins.verify(phone, self.codes.derive(phone, issued.nonce), self._caller(network))
        assert login.earned is not None
        if not self._earned:
            self._flushed_at = self.now
        self._earned.append(login.earned)
        return login.earned

    def withdraw(self, phone: PhoneNumber, network: str, issued: Issued) -> None:
        """The send has definitely failed."""
        self.store.withdraw(phone, issued, self._caller(network))

    def phone(self, prefix: str = "+98912") -> PhoneNumber:
        """A phone that no run has used before."""
        return PhoneNumber(f"{prefix}{next(self._numbers):07d}")

    def _caller(self, network: str) -> Caller:
        return Caller(network, Clock(self.now, time.monotonic()))

    def _set(self, moment: int) -> None:
        self.now = moment
        self.redis.set(CLOCK, moment)


def _event(earned: Earned, at: int) -> LoginEvent:
    return LoginEvent(id="", pid="", masked="", prefix="", client=earned.network, at=at, earned=earned)
