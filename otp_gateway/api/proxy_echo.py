"""What arrives of a request behind the proxies, for the operator's check alone."""

from __future__ import annotations

from typing import Any

from flask import request

from otp_gateway import check_token
from otp_gateway.api import client_address
from otp_gateway.codes import Codes


class ProxyEcho:
    """Tells the bearer of a pass what became of its own request on the way here."""

    def __init__(self, codes: Codes, trusted_proxies: int) -> None:
        self._key = codes.check_key
        self._trusted_proxies = trusted_proxies

    def tell(self) -> dict[str, Any] | None:
        """Whom the request counts for, the hops of X-Forwarded-For, other headers' names, and the host.

        None without a good pass.
        """
        given = request.headers.get(check_token.HEADER)
        if given is None or not check_token.is_good(self._key, given):
            return None
        return {
            "trusted_proxies": self._trusted_proxies,
            "client": client_address.networks(request, self._trusted_proxies)[-1],
            "forwarded_for": [hop.strip() for hop in client_address.forwarded_for(request) if hop.strip()],
            "forwarding": sorted(client_address.forwarding_headers(request) - {"x-forwarded-for"}),
            "host": request.headers.get("Host", ""),
        }
