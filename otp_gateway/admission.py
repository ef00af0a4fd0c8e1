"""The rate limiter's decision about a request."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.model import Clock, Window


@dataclass(frozen=True, slots=True)
class Quota:
    """The state of one window of an address after a request. ``reset`` is in milliseconds."""

    window: Window
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The rate limiter's decision.

    ``retry_after``: milliseconds until the next request is allowed; 0 means now.
    """

    admitted: bool
    clock: Clock
    quotas: tuple[Quota, ...]
    retry_after: int
