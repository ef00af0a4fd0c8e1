"""What a request has gathered so far: one typed object in Flask's ``g``, behind one accessor."""

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

    ``networks``: the opaque ids of the client's network and its subnet, outermost first, once they are known.
    ``limit``: the windows of the route, once the request has reached it. ``admission``: the rate limiter's
    decision, once it is made. ``outcomes``: the names of the route's outcomes, for a route that has some.
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
        """The network that failure budgets and the log count as one client: an IPv4 address or a /48."""
        return self.networks[0]

    @property
    def elapsed(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self.started

    def note(self, **values: Any) -> None:
        """Add to the request's log line. No secret and no full phone number."""
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
    """The same; None if the request ended before it had a context."""
    context: RequestContext | None = g.get(NAME)
    return context
