"""The rate limiter's decision about a request."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.model import Clock, Window


@dataclass(frozen=True, slots=True)
class Quota:
    """One window of the address's limit as a request left it. ``reset`` is in milliseconds."""

    window: Window
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The rate limiter's decision. ``retry_after``: milliseconds until the next request fits, 0 for now."""

    admitted: bool
    clock: Clock
    quotas: tuple[Quota, ...]
    retry_after: int
