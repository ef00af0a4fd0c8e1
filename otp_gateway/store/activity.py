"""The activity log: the actions of operators, in the panel and by commands."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from otp_gateway.store import keys
from otp_gateway.store.client import Pipeline, RedisClient
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import available

KEPT = 1000
KEEP_SECONDS = 30 * 86_400
LONGEST_TEXT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One action. ``at`` is in seconds since 1970, by Redis's clock.

    ``operator``: the name, empty for the password without a name. ``action``: a word of the panel's texts.
    ``masked``: the masked number. ``reference``: the phone's keyed hashes. ``target``: a prefix or a network.
    ``undo``: the id by which the action can be undone. ``until``: when a pause expires, in ms since 1970.
    """

    at: float = 0.0
    operator: str = ""
    action: str
    masked: str = ""
    reference: str = ""
    target: str = ""
    undo: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry, and whether its action can still be undone."""

    entry: Entry
    undoable: bool


class ActivityLog:
    """Reads and writes the activity log. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def add(self, entry: Entry) -> None:
        """Add an action that happens now."""
        with available():
            values = {name: value for name, value in asdict(entry).items() if value}
            values = {n: v[:LONGEST_TEXT] if isinstance(v, str) else v for n, v in values.items()}
            text = json.dumps(values | {"at": int(self._redis.time()[0])}, ensure_ascii=False)
            # This is done in one step, so that the list always has an expiry.
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            pipeline.lpush(keys.ACTIVITY, text)
            pipeline.ltrim(keys.ACTIVITY, 0, KEPT - 1)
            pipeline.expire(keys.ACTIVITY, KEEP_SECONDS)
            pipeline.execute()

    def page(self, start: int, size: int) -> tuple[list[ListedEntry], bool]:
        """The entries from ``start`` on, newest first, and whether there are older entries."""
        with available():
            oldest = int(self._redis.time()[0]) - KEEP_SECONDS
            found = self._redis.lrange(keys.ACTIVITY, start, start + size)
            entries = [entry for entry in map(_entry, found) if entry.at > oldest]
            pipeline: Pipeline = self._redis.pipeline(transaction=False)
            for entry in entries:
                # An action without an undo has an empty id. The key with that name never exists.
                names = PhoneKeys(entry.reference.partition(".")[0])
                # In the pipeline of a cluster, a command may have only one key. So there is one command for
                # each key.
                pipeline.exists(names.undo(entry.undo))
                pipeline.exists(names.of_devices.undo(entry.undo))
            exist = pipeline.execute() if entries else []
        undoable = map(any, zip(exist[::2], exist[1::2], strict=True))
        listed = [ListedEntry(e, bool(e.undo and can)) for e, can in zip(entries, undoable, strict=True)]
        return listed[:size], len(listed) > size


def _entry(text: bytes) -> Entry:
    values: dict[str, Any] = json.loads(text)
    return Entry(**values)
