"""Whether a third party can read or change the data between the gateway and Redis."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, urlsplit

from otp_gateway.checks.finding import Finding, fault, ok, warning
from otp_gateway.checks.site import is_loopback
from otp_gateway.settings.redis_url import uses_tls

# The values that redis-py reads as false.
FALSE = frozenset({"0", "f", "false", "n", "no"})


def look(url: str, verify: str = "full") -> Finding:
    """``url`` and ``verify``: REDIS_URL and REDIS_TLS_VERIFY."""
    parts = urlsplit(url)
    if uses_tls(url):
        return _certificate(parts, verify)
    if parts.scheme == "unix":
        return ok("redis_tls", "a unix socket")
    hosts = [urlsplit(f"//{host}").hostname or "" for host in parts.netloc.rpartition("@")[2].split(",")]
    if all(is_loopback(host) for host in hosts):
        return ok("redis_tls", "on this machine")
    return warning(
        "redis_tls", "without TLS: an attacker on the network can end limits and sessions; use rediss://"
    )


def _certificate(parts: SplitResult, verify: str) -> Finding:
    # An option of the URL overrides the variable.
    query = {name: values[-1].lower() for name, values in parse_qs(parts.query).items()}
    if query.get("ssl_cert_reqs") == "none":
        return fault("redis_tls", "ssl_cert_reqs=none accepts any certificate: give ssl_ca_certs instead")
    if verify == "none" and "ssl_cert_reqs" not in query:
        return warning(
            "redis_tls", "REDIS_TLS_VERIFY=none takes any certificate: set REDIS_TLS_CA if you can"
        )
    if query.get("ssl_check_hostname") in FALSE:
        return warning(
            "redis_tls", "ssl_check_hostname is off: a certificate of any host is accepted; set it"
        )
    if verify == "ca" and "ssl_check_hostname" not in query:
        return warning("redis_tls", "REDIS_TLS_VERIFY=ca takes its authority's certificate for any host")
    return ok("redis_tls", "TLS, the certificate is checked")
