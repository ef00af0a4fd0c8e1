"""The provider's account as last heard of, shared by all workers, asked for by one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from otp_gateway.errors import SendFailed
from otp_gateway.store.scripts import available

KEY, TURN = "provider:account", "provider:account:turn"
ASK_SECONDS = 60
KEEP_SECONDS = 86_400
LONGEST_KIND = 40


@dataclass(frozen=True, slots=True)
class Account:
    """Credit in Rial, expiry and the moment of the answer in seconds since 1970; None is unknown."""

    credit: int | None
    expires: int | None
    kind: str | None
    asked_at: int


class AccountStore:
    """Keeps the last answer. Every method raises ``StoreUnavailable``."""

    def __init__(self, client: Any, ask: Callable[[], dict[str, Any]] | None) -> None:
        """``ask``: the provider's account, None where there is no provider; it raises ``SendFailed``."""
        self._client = client
        self._ask = ask

    def current(self) -> Account | None:
        """The last answer, at most a minute old where the provider answers; None before the first."""
        with available():
            if self._ask and self._client.set(TURN, 1, nx=True, ex=ASK_SECONDS):
                self._refresh(self._ask)
            found = self._client.get(KEY)
        return Account(**json.loads(found)) if found else None

    def _refresh(self, ask: Callable[[], dict[str, Any]]) -> None:
        try:
            entry = ask()
        except SendFailed:
            return
        now = int(self._client.time()[0])
        kind = entry.get("type")
        account = Account(
            _number(entry.get("remaincredit")),
            _number(entry.get("expiredate")),
            kind[:LONGEST_KIND] if isinstance(kind, str) else None,
            now,
        )
        self._client.set(KEY, json.dumps(asdict(account)), ex=KEEP_SECONDS)


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (ValueError, TypeError, OverflowError):
        return None
