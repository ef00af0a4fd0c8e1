"""How connections to Redis check its certificate, in redis-py's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otp_gateway.store.tls_connection import TlsConnection

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class RedisTls:
    """``REDIS_TLS_CA`` and ``REDIS_TLS_VERIFY``, for URLs that a platform manages.

    ``verify``: ``full``, ``ca`` (the host name is not checked) or ``none`` (only encrypted).
    """

    ca: str | None = None
    verify: str = "full"

    def options(self) -> dict[str, Any]:
        """The options for redis-py. The options in a URL override them."""
        found: dict[str, Any] = {
            "connection_class": TlsConnection,
            "ssl_cert_reqs": "none" if self.verify == "none" else "required",
            "ssl_check_hostname": self.verify == "full",
        }
        return found | ({"ssl_ca_certs": self.ca} if self.ca else {})

    def of_several(self, query: dict[str, str]) -> dict[str, Any]:
        """The options for sentinel and cluster. Their URLs switch TLS on with ``ssl``."""
        if query.get("ssl", "").lower() not in ("1", "true", "yes"):
            return {}
        return self.options() | {name: query[name] for name in FILES if name in query}
