"""The outcome of a request: its route notes which names apply, and every listener reads the name here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Response

from otp_gateway.api import context

OTHER = "other"
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The names of one route's outcomes: ``success``, or else the error's code.

    ``counter`` names the route's metric, ``route`` the route in that metric's help text.
    """

    counter: str
    success: str
    route: str

    def of_route(self, view: Callable[P, R]) -> Callable[P, R]:
        """A decorator, the outermost one: requests that reach this view have these outcomes."""

        @wraps(view)
        def noting(*args: P.args, **kwargs: P.kwargs) -> R:
            context.current().outcomes = self
            return view(*args, **kwargs)

        return noting

    def name(self, response: Response) -> str:
        """The outcome of the present request."""
        if response.status_code == 200:
            return self.success
        name: str = context.current().notes.get("error", OTHER)
        return name


SENDS = Outcomes("sends", "sent", "send_otp")
VERIFIES = Outcomes("verifies", "verified", "verify_otp")
REFRESHES = Outcomes("token_refreshes", "refreshed", "refresh")
ALL = (SENDS, VERIFIES, REFRESHES)
