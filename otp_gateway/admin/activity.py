"""The page of the activity log: the actions of operators, in the panel and by commands."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import page

PAGE = 50
LAST = 1000


class Activity(Part):
    """The activity log."""

    def routes(self) -> list[Route]:
        return [Route("/activity/", "activity", self.show)]

    def show(self) -> BaseResponse:
        text = request.args.get("from", "")
        start = min(int(text), LAST) if text.isascii() and text.isdigit() and len(text) < 5 else 0
        entries, more = self.gateway.panel.activity.page(start, PAGE)
        return page(
            "activity.html",
            entries=entries,
            start=start,
            following=start + PAGE if more else None,
            done=request.args.get("done"),
            # If a newer pause has replaced this one, only the newer entry can be undone.
            running={(pause.target, pause.until) for pause in self.gateway.panel.pauses.all()},
        )
