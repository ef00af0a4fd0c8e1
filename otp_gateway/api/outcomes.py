"""The outcome of a request. Its route sets the possible names. Metrics and panel read the name here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response

from otp_gateway.api import context
from otp_gateway.recorder import Recorder

OTHER = "other"
# The outcome of a request for a test number, and its note in the log.
TEST = "test"
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
        """A decorator: requests that reach this view have these outcomes. It must be the outermost one."""

        @wraps(view)
        def noting(*args: P.args, **kwargs: P.kwargs) -> R:
            context.current().outcomes = self
            return view(*args, **kwargs)

        return noting

    def name(self, response: Response) -> str:
        """The outcome of the present request."""
        notes = context.current().notes
        if response.status_code == 200:
            return TEST if notes.get(TEST) else self.success
        name: str = notes.get("error", OTHER)
        return name


def install(app: Flask, recorder: Recorder) -> None:
    """Count the outcomes of sends and verifies for the panel."""

    @app.after_request
    def count(response: Response) -> Response:
        outcomes = context.current().outcomes
        if outcomes in (SENDS, VERIFIES):
            name = outcomes.name(response)
            recorder.count(name if name == outcomes.success else f"{outcomes.success}:{name}")
        return response


SENDS = Outcomes("sends", "sent", "send_otp")
VERIFIES = Outcomes("verifies", "verified", "verify_otp")
REFRESHES = Outcomes("token_refreshes", "refreshed", "refresh")
ALL = (SENDS, VERIFIES, REFRESHES)
