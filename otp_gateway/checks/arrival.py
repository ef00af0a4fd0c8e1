"""The way from outside: TLS, the host's name, and the proxies against what the gateway sees of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from otp_gateway import passes
from otp_gateway.checks.finding import Finding, fault, ok, warning
from otp_gateway.codes import Codes
from otp_gateway.settings import Settings

ANSWER_SECONDS = 5.0
# An address for documentation (RFC 5737): nobody's, so whoever is counted under it has made it up.
MADE_UP = "203.0.113.77"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GIVE = "not looked at: give --url https://…, the public address"


def look(settings: Settings, codes: Codes, url: str | None) -> Iterator[Finding]:
    """A few requests to ``url``, none of which counts for a limit; without it, what the settings tell."""
    if url is None:
        yield warning("https", GIVE)
        yield _cookies(settings, None)
        yield warning("proxies", f"TRUSTED_PROXIES={settings.trusted_proxies}, {GIVE}")
        return
    url = url.rstrip("/")
    try:
        reply = _get(
            f"{url}/healthz", {passes.HEADER: passes.make(codes.check_key), "X-Forwarded-For": MADE_UP}
        )
    except requests.exceptions.SSLError:
        yield fault("https", "the certificate is not valid for this address: browsers will refuse it")
        return
    except requests.RequestException as error:
        yield fault(
            "https", f"{url} does not answer ({type(error).__name__}): look at DNS, firewall and proxy"
        )
        return
    arrived = _arrival(reply)
    yield _https(url, reply)
    yield _cookies(settings, urlsplit(url).scheme)
    if arrived is None:
        yield fault(
            "proxies",
            f"{url} answers {reply.status_code}, but is no gateway with this SECRET_KEY: compare both",
        )
        return
    yield _host(settings, urlsplit(url).netloc, arrived)
    yield _proxies(arrived)
    yield _exposed(url)


def _get(url: str, headers: dict[str, str]) -> requests.Response:
    return requests.get(url, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False)


def _arrival(reply: requests.Response) -> dict[str, Any] | None:
    try:
        found = reply.json()["arrival"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _https(url: str, reply: requests.Response) -> Finding:
    parts = urlsplit(url)
    if parts.scheme != "https":
        if parts.hostname in LOOPBACK:
            return warning("https", "this is the address on this machine: give the public one")
        return fault("https", "codes and tokens cross the network in the clear: serve https:// alone")
    if parts.port in (None, 443) and _serves_plainly(parts.hostname or ""):
        return fault("https", "http:// is served as well: let it redirect to https://")
    if "Strict-Transport-Security" not in reply.headers:
        return warning("https", "TLS; let the proxy add Strict-Transport-Security")
    return ok("https", "TLS, with Strict-Transport-Security")


def _serves_plainly(host: str) -> bool:
    try:
        reply = _get(f"http://{host}/healthz", {})
    except requests.RequestException:
        return False
    return not (300 <= reply.status_code < 400 and reply.headers.get("Location", "").startswith("https://"))


def _cookies(settings: Settings, scheme: str | None) -> Finding:
    if not settings.auth_cookies:
        return ok("cookies", "tokens travel in bodies")
    if scheme == "http":
        return fault("cookies", "AUTH_COOKIES needs https://: browsers send Secure cookies nowhere else")
    return ok("cookies", "tokens travel in Secure, HttpOnly, SameSite=Strict cookies")


def _host(settings: Settings, netloc: str, arrived: dict[str, Any]) -> Finding:
    if str(arrived.get("host")).lower() == netloc.lower():
        return ok("host", "the proxy passes Host on")
    words = f"Host arrives as {arrived.get('host')}: let the proxy pass it on (nginx: Host $http_host)"
    return (
        fault("host", f"{words}, AUTH_COOKIES needs it") if settings.auth_cookies else warning("host", words)
    )


def _proxies(arrived: dict[str, Any]) -> Finding:
    """Each proxy adds its peer to X-Forwarded-For: behind the made-up hop stand as many as there are proxies."""
    trusted = int(arrived["trusted_proxies"])
    hops = [str(hop) for hop in arrived["forwarded_for"]]
    # An outermost proxy that starts the list anew has dropped ours.
    actual = len(hops) - 1 - hops.index(MADE_UP) if MADE_UP in hops else len(hops)
    if trusted == actual:
        return ok("proxies", f"TRUSTED_PROXIES={trusted}, and so many proxies add to X-Forwarded-For")
    if trusted > actual:
        words = "clients choose their own address, and pass every limit"
    else:
        words = "all clients count as one of your proxies, and share its limits"
    return fault(
        "proxies", f"TRUSTED_PROXIES={trusted}, but {actual} add to X-Forwarded-For: {words}; set {actual}"
    )


def _exposed(url: str) -> Finding:
    try:
        status = _get(f"{url}/metrics", {"X-Forwarded-For": MADE_UP}).status_code
    except requests.RequestException as error:
        return warning("exposed", f"/metrics does not answer ({type(error).__name__})")
    if status == 200:
        return fault("exposed", "/metrics is open to everybody: set METRICS_TOKEN, or close it at the proxy")
    return ok("exposed", f"/metrics answers {status} without a token")
