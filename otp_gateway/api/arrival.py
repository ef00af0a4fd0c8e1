"""What arrives of a request behind the proxies, for the operator's check alone."""

from __future__ import annotations

from typing import Any

from flask import request

from otp_gateway import passes
from otp_gateway.codes import Codes


class Arrivals:
    """Tells the bearer of a pass what became of its own request on the way here."""

    def __init__(self, codes: Codes, trusted_proxies: int) -> None:
        self._key = codes.check_key
        self._trusted_proxies = trusted_proxies

    def tell(self) -> dict[str, Any] | None:
        """The peer, the hops of X-Forwarded-For, and host and scheme as told; None without a good pass."""
        given = request.headers.get(passes.HEADER)
        if given is None or not passes.is_good(self._key, given):
            return None
        hops = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        return {
            "trusted_proxies": self._trusted_proxies,
            "peer": request.remote_addr,
            "forwarded_for": [hop.strip() for hop in hops if hop.strip()],
            "forwarded_proto": request.headers.get("X-Forwarded-Proto"),
            "host": request.headers.get("Host"),
        }
