"""Sends, logins and conversion by prefix and by client network."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import page
from otp_gateway.store.usage import DAY, HOUR, KINDS, WEEK

SPANS = (HOUR, DAY, WEEK)


class Traffic(Part):
    """The page with the destinations of messages, and with the share of their codes that were used."""

    def routes(self) -> list[Route]:
        return [Route("/traffic/", "traffic", self.show)]

    def show(self) -> BaseResponse:
        span = next((span for span in SPANS if span.name == request.args.get("span")), DAY)
        usage = self.gateway.records.usage
        pauses = self.gateway.panel.pauses.all()
        return page(
            "traffic.html",
            span=span,
            spans=SPANS,
            tables={kind: usage.tallies(kind, span) for kind in KINDS},
            pauses=pauses,
            paused={(pause.kind, pause.target): pause for pause in pauses},
            gate=self.gateway.settings.gate.mode,
            decisions=self.gateway.records.gate.decisions(),
            budget=self.gateway.records.gate.budget(),
            done=request.args.get("done"),
        )
