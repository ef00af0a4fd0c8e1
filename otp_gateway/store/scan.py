"""SCAN over one server, or over every primary of a cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from otp_gateway.store.client import RedisClient

FIRST_COUNT, LONGEST_COUNT = 100, 10_000
CURSOR = re.compile(r"([0-9]{1,4}):([0-9]{1,20})")


def primaries(redis: RedisClient) -> list[Any]:
    """A cluster's primaries, in an order that every worker finds; one None for anything else."""
    find: Callable[[], list[Any]] | None = getattr(redis, "get_primaries", None)
    return sorted(find(), key=lambda node: str(node.name)) if find else [None]


def is_cluster(redis: RedisClient) -> bool:
    """Whether the keys are on several servers."""
    return hasattr(redis, "get_primaries")


def on(node: Any) -> dict[str, Any]:
    """The keyword arguments that send a command to this primary."""
    return {} if node is None else {"target_nodes": node}


def page(
    redis: RedisClient, cursor: str | None, pattern: str, key: re.Pattern[bytes], *, size: int, seconds: float
) -> tuple[list[str], str | None]:
    """The first groups of ``key`` in at least ``size`` names, and where the next page begins.

    It ends after ``seconds`` with what it has found. A cursor that it cannot read is the beginning.
    """
    nodes = primaries(redis)
    match = CURSOR.fullmatch(cursor or "")
    index, position = (int(match[1]), int(match[2])) if match else (0, 0)
    if index >= len(nodes) or position >= 2**64:
        index, position = 0, 0
    found: dict[str, None] = {}
    count, ends = FIRST_COUNT, time.monotonic() + seconds
    while True:
        position, names = _step(redis, nodes[index], position, pattern, count)
        found |= {m[1].decode(): None for m in map(key.fullmatch, names) if m}
        if position == 0:
            index += 1
            if index == len(nodes):
                return list(found), None
        if len(found) >= size or time.monotonic() > ends:
            return list(found), f"{index}:{position}"
        count = min(2 * count, LONGEST_COUNT)


def _step(redis: RedisClient, node: Any, position: int, match: str, count: int) -> tuple[int, list[bytes]]:
    following, names = redis.scan(position, match=match, count=count, **on(node))
    if node is not None:
        # A cluster's client gives the cursor by node.
        (following,) = following.values()
    return int(following), names
