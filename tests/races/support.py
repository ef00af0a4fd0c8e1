"""Many requests at once, and the count of their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.support.gateway import until_answered


def at_once(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    with ThreadPoolExecutor(50) as pool:
        return [future.result() for future in [pool.submit(until_answered, call) for call in calls]]


def outcomes(replies: list[requests.Response]) -> Counter[str]:
    """How many replies have each status, or the code of each problem."""
    return Counter(str(reply.json().get("code", reply.status_code)) for reply in replies)
