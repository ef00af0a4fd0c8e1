"""``/metrics``: for clients with the token. If there is no token, only for clients on this machine."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterable, Sequence

from flask import Flask, Response, request
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from werkzeug.exceptions import Forbidden

from otp_gateway.api import bearer
from otp_gateway.api.client_address import forwarding_headers
from otp_gateway.errors import InvalidToken
from otp_gateway.metrics.metrics import Metrics

DEMAND = "The metrics need a bearer token: METRICS_TOKEN"


def install(app: Flask, metrics: Metrics, gauges: Sequence[Collector], token: str | None) -> None:
    """Serve the metrics in the format that the scraper accepts."""

    @app.get("/metrics")
    def scrape() -> Response:
        if token:
            _demand(token)
        elif not _is_local():
            raise Forbidden("Without METRICS_TOKEN, metrics are for scrapers on the same machine")
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        body = encode(_All(metrics.registry(), *gauges))
        return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The encoder of a format that the scraper accepts, or of the oldest format."""
    try:
        return choose_encoder(accept)
    except TypeError:
        # The library compares versions without a check, also a word with a number.
        return choose_encoder("")


def _demand(token: str) -> None:
    given = bearer.token(DEMAND)
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise InvalidToken(DEMAND)


def _is_local() -> bool:
    if forwarding_headers(request):
        return False
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class _All(Collector):
    """The values of all metrics and all gauges."""

    def __init__(self, *parts: Collector) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        for part in self._parts:
            yield from part.collect()
