"""The servers that hold the keys: one server, or every primary of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otp_gateway.store.client import RedisClient


def primaries(redis: RedisClient) -> list[Any]:
    """The primaries of a cluster, in the same order in every worker. Without a cluster, a single None."""
    find: Callable[[], list[Any]] | None = getattr(redis, "get_primaries", None)
    return sorted(find(), key=lambda node: str(node.name)) if find else [None]


def is_cluster(redis: RedisClient) -> bool:
    """Whether the keys are on several servers."""
    return hasattr(redis, "get_primaries")


def on(node: Any) -> dict[str, Any]:
    """The keyword arguments that send a command to this primary."""
    return {} if node is None else {"target_nodes": node}
