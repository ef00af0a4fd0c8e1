"""The provider's account as last heard of, shared by all workers, asked for by one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from otp_gateway.errors import SendFailed
from otp_gateway.store import keys
from otp_gateway.store.client import RedisClient
from otp_gateway.store.scripts import available

ASK_SECONDS = 60
KEEP_SECONDS = 86_400
WARN_SECONDS = 3600
LONGEST_KIND = 40
LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class Account:
    """Credit in Rial, expiry and the moment of the answer in seconds since 1970; None is unknown."""

    credit: int | None
    expires: int | None
    kind: str | None
    asked_at: int

    @classmethod
    def read(cls, entry: dict[str, Any], now: int) -> Account:
        """From the provider's entry, as ``account/info`` gives it."""
        kind = entry.get("type")
        return cls(
            _number(entry.get("remaincredit")),
            _number(entry.get("expiredate")),
            kind[:LONGEST_KIND] if isinstance(kind, str) else None,
            now,
        )


class ProviderAccountStore:
    """Keeps the last answer. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, ask: Callable[[], dict[str, Any]] | None) -> None:
        """``ask``: the provider's account, None where there is no provider; it raises ``SendFailed``."""
        self._redis = redis
        self._ask = ask

    def current(self) -> Account | None:
        """The last answer, at most a minute old where the provider answers; None before the first."""
        with suppress(SendFailed):
            self.refresh()
        return self.last()

    def last(self) -> Account | None:
        """The last answer, of the last 24 h."""
        with available():
            found = self._redis.get(keys.PROVIDER_ACCOUNT)
        try:
            return Account(**json.loads(found)) if found else None
        except (ValueError, TypeError):
            # Of another version of the gateway, which runs beside this one or ran before it.
            return None

    def refresh(self) -> Account | None:
        """Ask the provider, unless some worker has within the last minute; None then.

        Raises ``SendFailed`` where the provider does not answer.
        """
        with available():
            if not self._ask or not self._redis.set(keys.PROVIDER_TURN, 1, nx=True, ex=ASK_SECONDS):
                return None
            account = Account.read(self._ask(), int(self._redis.time()[0]))
            self._redis.set(keys.PROVIDER_ACCOUNT, json.dumps(asdict(account)), ex=KEEP_SECONDS)
            return account

    def take_warning(self, kind: str) -> bool:
        """Whether to warn of this now: once an hour, whichever worker asks."""
        with available():
            return bool(self._redis.set(keys.warned(kind), 1, nx=True, ex=WARN_SECONDS))

    def clear_warnings(self, *kinds: str) -> None:
        """All is well: the next trouble is warned of at once."""
        with available():
            for kind in kinds:
                self._redis.delete(keys.warned(kind))


def _number(value: Any) -> int | None:
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # Nobody's credit, nor a date: and what is too large for a float could not be scraped.
    return number if abs(number) <= LARGEST else None
