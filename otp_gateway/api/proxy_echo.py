"""Reports the headers of a request as they arrive behind the proxies, only to the operator's check."""

from __future__ import annotations

from typing import Any

from flask import request

from otp_gateway import check_token
from otp_gateway.api import client_address
from otp_gateway.codes import Codes


class ProxyEcho:
    """Reports to the sender of a signed check token how its own request has arrived."""

    def __init__(self, codes: Codes, trusted_proxies: int) -> None:
        self._key = codes.check_key
        self._trusted_proxies = trusted_proxies

    def report(self) -> dict[str, Any] | None:
        """The client for which the request counts, the hops of X-Forwarded-For, header names, and the host.

        None: the request has no good check token.
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
