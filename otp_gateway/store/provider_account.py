"""The provider's account: one worker at a time reads it from the provider, and all workers share it."""

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

READ_SECONDS = 60
KEEP_SECONDS = 86_400
WARN_SECONDS = 3600
LONGEST_KIND = 40
LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class Account:
    """Credit in Rial; expiry and time of the reading in seconds since 1970. None: the value is unknown."""

    credit: int | None
    expires: int | None
    kind: str | None
    read_at: int

    @classmethod
    def read(cls, entry: dict[str, Any], now: int) -> Account:
        """Read the entry of the provider's reply to ``account/info``."""
        kind = entry.get("type")
        return cls(
            _number(entry.get("remaincredit")),
            _number(entry.get("expiredate")),
            kind[:LONGEST_KIND] if isinstance(kind, str) else None,
            now,
        )


class ProviderAccountStore:
    """Stores the account as it was last read. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient, read: Callable[[], dict[str, Any]] | None) -> None:
        """``read``: reads the provider's account, or raises ``SendFailed``. None: there is no provider."""
        self._redis = redis
        self._read = read

    def current(self) -> Account | None:
        """The account; at most a minute old if the provider answers. None if it was not read yet."""
        with suppress(SendFailed):
            self.refresh()
        return self.last()

    def last(self) -> Account | None:
        """The account as it was last read, within 24 h. None if it was not read."""
        with available():
            found = self._redis.get(keys.PROVIDER_ACCOUNT)
        try:
            return Account(**json.loads(found)) if found else None
        except (ValueError, TypeError):
            # Another version of the gateway has written it. It runs at the same time, or it ran before.
            return None

    def refresh(self) -> Account | None:
        """Read the account from the provider. None: a worker has done so within the last minute.

        Raises ``SendFailed`` if the provider does not answer.
        """
        with available():
            if not self._read or not self._redis.set(keys.PROVIDER_TURN, 1, nx=True, ex=READ_SECONDS):
                return None
            account = Account.read(self._read(), int(self._redis.time()[0]))
            self._redis.set(keys.PROVIDER_ACCOUNT, json.dumps(asdict(account)), ex=KEEP_SECONDS)
            return account

    def take_warning(self, kind: str) -> bool:
        """Whether this worker must log the warning now. All workers together log it once an hour."""
        with available():
            return bool(self._redis.set(keys.warned(kind), 1, nx=True, ex=WARN_SECONDS))

    def clear_warnings(self, *kinds: str) -> None:
        """Forget the warnings, because all is well. The next problem is then logged at once."""
        with available():
            for kind in kinds:
                self._redis.delete(keys.warned(kind))


def _number(value: Any) -> int | None:
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # A larger number is no real credit and no real date. If it is too large for a float, Prometheus cannot
    # read it.
    return number if abs(number) <= LARGEST else None
