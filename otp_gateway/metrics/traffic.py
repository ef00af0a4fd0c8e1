"""Sends and logins by prefix and by client network, as gauges that are read from Redis."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from otp_gateway.errors import StoreUnavailable
from otp_gateway.metrics.metrics import PREFIX, REST
from otp_gateway.store.usage import DAY, HOUR, KINDS, WEEK, Tally, UsageStore
from otp_gateway.store.write_probe import WriteProbe

LABELS = ["by", "member", "span"]


class TrafficGauges(Collector):
    """The members with the most sends in the last hour, day and week, and the sums of all others."""

    def __init__(self, usage: UsageStore, probe: WriteProbe) -> None:
        self._usage = usage
        self._probe = probe

    def collect(self) -> Iterable[Metric]:
        """The present gauges. It is empty if Redis is unavailable."""
        if self._probe.fault() is not None:
            # If Redis was unavailable just now, a scrape must not wait for it a second time.
            return
        try:
            found = {
                (kind, span.name): self._usage.tallies(kind, span)
                for kind in KINDS
                for span in (HOUR, DAY, WEEK)
            }
        except StoreUnavailable:
            return
        sends = GaugeMetricFamily(
            f"{PREFIX}_traffic_sends", "Messages that may have gone out within the span", labels=LABELS
        )
        logins = GaugeMetricFamily(f"{PREFIX}_traffic_logins", "Logins within the span", labels=LABELS)
        pumped = GaugeMetricFamily(
            f"{PREFIX}_traffic_looks_pumped",
            "1 for a prefix or network with many sends and few logins, as in SMS pumping",
            labels=LABELS,
        )
        for (kind, span), tallies in found.items():
            members: list[Tally] = [*tallies.top, Tally(REST, tallies.rest.sends, tallies.rest.logins)]
            for one in members:
                labels = [kind, one.name, span]
                sends.add_metric(labels, one.sends)
                logins.add_metric(labels, one.logins)
                if one.name != REST:
                    pumped.add_metric(labels, int(one.looks_pumped))
        yield from (sends, logins, pumped)
