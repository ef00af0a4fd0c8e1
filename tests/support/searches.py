"""How long the random searches are: short in every run, and whole in ``make test-long``."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# ``make test-long`` sets it.
WHOLE = os.environ.get("SEARCHES") == "whole"
SHARE = 5


def examples(whole: int) -> int:
    """The number of examples for Hypothesis; ``whole`` is that of the whole search."""
    return whole if WHOLE else max(1, whole // SHARE)


def prepare() -> None:
    """Set what a test does not set itself. A busy machine is no fault: no example has a time limit."""
    settings.register_profile(
        "tests", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("tests")


def mark(items: list[pytest.Item]) -> None:
    """Add the mark ``search`` to the tests that Hypothesis gives examples."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("search")
