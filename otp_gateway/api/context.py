"""The data of the current request: one typed object in Flask's ``g``, which only this module reads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import g

from otp_gateway.admission import Admission
from otp_gateway.model import Caller, Window

if TYPE_CHECKING:
    from otp_gateway.api.outcomes import Outcomes

NAME = "otp_gateway"


@dataclass(slots=True)
class RequestContext:
    """One request. ``started`` is in ``time.monotonic()`` seconds; ``notes`` go into its log line.

    ``networks``: the opaque ids of the client's network and then of its subnet, when they are known.
    ``limit``: the windows of the route, when the request has reached it. ``admission``: the rate limiter's
    decision, when it is made. ``outcomes``: the names of the route's outcomes, if it has any.
    """

    request_id: str
    started: float = field(default_factory=time.monotonic)
    notes: dict[str, Any] = field(default_factory=dict)
    networks: Sequence[str] = ()
    limit: Sequence[Window] = ()
    admission: Admission | None = None
    outcomes: Outcomes | None = None
    in_progress: bool = False

    @property
    def client(self) -> str:
        """The network that is one client for failure budgets and the log: an IPv4 address or a /48."""
        return self.networks[0]

    @property
    def elapsed(self) -> float:
        """Seconds since the request arrived."""
        return time.monotonic() - self.started

    def note(self, **values: Any) -> None:
        """Add values to the request's log line. They must contain no secret and no full phone number."""
        self.notes.update((name, value) for name, value in values.items() if value is not None)

    def caller(self) -> Caller:
        """The client and the request's clock. Raises ``RuntimeError`` before the rate limiter has run."""
        if self.admission is None:
            raise RuntimeError("no rate limiter has counted this request")
        return Caller(client=self.client, clock=self.admission.clock)


def begin(request_id: str) -> RequestContext:
    """The context of a request that begins now."""
    context = RequestContext(request_id)
    setattr(g, NAME, context)
    return context


def current() -> RequestContext:
    """The context of the request that is being answered."""
    context: RequestContext = getattr(g, NAME)
    return context


def begun() -> RequestContext | None:
    """The context of the request; None if the request ended before it had one."""
    context: RequestContext | None = g.get(NAME)
    return context
