"""Counts of events by time: the page of one span, and thirty days as CSV."""

from __future__ import annotations

import csv
import io
import time

from flask import Response, make_response, request
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.charts import summarise
from otp_gateway.admin.language import language
from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import page
from otp_gateway.store.usage import DAY, MONTH, SPANS
from otp_gateway.support.times import Times

COLUMNS = ("day", "sent", "not_sent", "signed_in", "refused", "conversion_percent", "cost_rial")


class Usage(Part):
    """The usage of one span."""

    def routes(self) -> list[Route]:
        return [Route("/usage/", "usage", self.show), Route("/usage/30-days.csv", "usage_csv", self.csv)]

    def show(self) -> BaseResponse:
        span = next((span for span in SPANS if span.name == request.args.get("span")), DAY)
        times = Times(self.gateway.settings.panel_zone, language())
        buckets = self.gateway.records.usage.read(span)
        return page(
            "usage.html",
            span=span,
            spans=SPANS,
            usage=summarise(buckets, lambda start: times.label(span.name, start)),
            account=self.gateway.provider_account.current(),
        )

    def csv(self) -> Response:
        """Thirty days, with one line for each day. The days are days of UTC, as in the counts."""
        usage = summarise(self.gateway.records.usage.read(MONTH), _day)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for row in usage.rows:
            conversion = round(100 * row.verified / row.sent, 1) if row.sent else ""
            writer.writerow(
                (
                    row.label,
                    row.sent,
                    row.failed_sends,
                    row.verified,
                    row.failed_verifies,
                    conversion,
                    row.cost,
                )
            )
        response = make_response(text.getvalue())
        response.headers["Content-Type"] = "text/csv; charset=utf-8"
        response.headers["Content-Disposition"] = 'attachment; filename="otp-gateway-30-days.csv"'
        return response


def _day(start: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(start))
