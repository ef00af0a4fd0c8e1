"""gunicorn's settings about connections, and about requests before Flask sees them."""

from __future__ import annotations

import resource
from typing import Any

from otp_gateway.api.https import transport_security
from otp_gateway.gunicorn_worker.worker import Worker

MOST_CONNECTIONS = 2000
FEWEST_CONNECTIONS = 100
# Descriptors for Redis, the SMS provider, logs and metrics.
RESERVED = 256


def configuration(trusted_proxies: int) -> dict[str, Any]:
    """The settings, as gunicorn names them."""
    return {
        "worker_class": Worker.make(transport_security(trusted_proxies)),
        # This is longer than a router keeps a connection (Heroku: 90 s). So no router sends a request over a
        # connection that we are closing.
        "keepalive": 95,
        "worker_connections": max_connections(),
        # A browser and two proxies send about 40 fields. A field holds a token of 8 KiB, or all our cookies.
        "limit_request_fields": 64,
        "limit_request_field_size": 8 * 1024 + 256,
        # Our longest URL has 200 bytes. The ?next= of the login page can make it longer.
        "limit_request_line": 4094,
        # The headers of a client must never set the path, the user or the scheme. By default, they do if
        # gunicorn trusts the peer. Platforms set FORWARDED_ALLOW_IPS=*, and then gunicorn trusts each peer.
        "forwarder_headers": "",
        "header_map": "drop",
        "secure_scheme_headers": {},
    }


def max_connections() -> int:
    """The number of connections of a worker, within the descriptors that its process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    available = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - RESERVED
    return max(min(available, MOST_CONNECTIONS), FEWEST_CONNECTIONS)
