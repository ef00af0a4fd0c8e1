"""The pauses of operators: of prefixes, of networks, and of single phones ("muted")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

Kind = Literal["prefix", "network", "phone"]
# The longest pause, in seconds. The hash of all pauses expires so long after its last change.
LONGEST = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause. ``until`` is in milliseconds since 1970.

    ``target``: digits of a prefix, opaque id of a client network, or keyed hash of a phone. ``masked``: the
    masked number of a phone.
    """

    kind: Kind
    target: str
    until: int
    masked: str = ""

    @property
    def field(self) -> str:
        """The name of the pause in the hash."""
        return f"{self.kind}:{self.target}"


class Pauses:
    """Starts, ends and lists pauses. Every method raises ``StoreUnavailable``.

    Strangers get a challenge for a paused prefix or network, and are refused for a muted phone. Devices pass.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def start(self, kind: Kind, target: str, seconds: int, masked: str = "") -> Pause:
        """Pause the target from now on. This replaces a pause that the target already has."""
        pause = Pause(kind, target, self._now() + 1000 * seconds, masked)
        self.restore(pause)
        return pause

    def end(self, kind: Kind, target: str) -> Pause | None:
        """End the target's pause, and return it for ``restore``. Return None if there was no pause."""
        found = next((p for p in self.all() if (p.kind, p.target) == (kind, target)), None)
        if kind == "phone":
            with available():
                self._redis.delete(PhoneKeys(target).mute)
        self._write(None, [f"{kind}:{target}"])
        return found

    def restore(self, pause: Pause) -> bool:
        """Start a pause again until its own expiry. Return False if it has expired."""
        left = min(LONGEST, -(-(pause.until - self._now()) // 1000))
        if left <= 0:
            return False
        if pause.kind == "phone":
            with available():
                self._redis.set(PhoneKeys(pause.target).mute, pause.until, ex=left)
        # The list is written last: if this fails, the pause is in force, and an operator can still end it.
        self._write(pause, [p.field for p in self._read() if p.until <= self._now()])
        return True

    def all(self) -> list[Pause]:
        """The pauses that are in force. The first one is the next one to expire."""
        now = self._now()
        return sorted((p for p in self._read() if p.until > now), key=lambda p: p.until)

    def _write(self, pause: Pause | None, ended: list[str]) -> None:
        with available():
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            if ended:
                pipeline.hdel(keys.GATE_PAUSES, *ended)
            if pause:
                value = f"{pause.until}:{pause.masked}" if pause.masked else str(pause.until)
                pipeline.hset(keys.GATE_PAUSES, pause.field, value)
            pipeline.expire(keys.GATE_PAUSES, LONGEST)
            pipeline.execute()

    def _read(self) -> list[Pause]:
        with available():
            found = self._redis.hgetall(keys.GATE_PAUSES)
        return [_pause(field.decode(), value.decode()) for field, value in found.items()]

    def _now(self) -> int:
        with available():
            seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _pause(field: str, value: str) -> Pause:
    kind, _, target = field.partition(":")
    until, _, masked = value.partition(":")
    known: dict[str, Kind] = {"prefix": "prefix", "network": "network"}
    return Pause(known.get(kind, "phone"), target, int(until), masked)
