"""The public URL: TLS, Host, and TRUSTED_PROXIES compared with the proxies that a request really passes."""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from otp_gateway import check_token
from otp_gateway.checks.finding import Finding, fault, ok, quote, warning
from otp_gateway.checks.site import Reply, Site
from otp_gateway.codes import Codes
from otp_gateway.settings import Settings

REPLY_SECONDS = 3.0
PLAIN_SECONDS = 1.0
# An address for documentation (RFC 5737). No client has it, so a request can have it only in a forged header.
MADE_UP = "203.0.113.77"
GIVE_URL = "not checked: give --url https://..., the public URL"
ADD_HOP = (
    "let each proxy add to X-Forwarded-For "
    "(nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)"
)
HSTS_AGE = re.compile(r"max-age\s*=\s*\"?0*[1-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Echo:
    """The gateway's report about our own request; see ``otp_gateway.api.proxy_echo``."""

    trusted_proxies: int
    client: str
    hops: list[str]
    traces: list[str]
    host: str

    @classmethod
    def read(cls, body: bytes) -> _Echo | None:
        """The report in a reply. None: no gateway has accepted our check token and replied."""
        try:
            report = json.loads(body)["arrival"]
            found = cls(
                report["trusted_proxies"],
                report["client"],
                report["forwarded_for"],
                report["forwarding"],
                report["host"],
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        texts = [found.client, found.host, *_texts(found.hops), *_texts(found.traces)]
        sound = isinstance(found.trusted_proxies, int) and all(isinstance(text, str) for text in texts)
        return found if sound else None


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


def look(settings: Settings, codes: Codes, site: Site | None) -> Iterator[Finding]:
    """Check the site with a few requests, which no limit counts. Without a site, check only the settings."""
    yield _cookies(settings, site)
    if site is None:
        yield warning("https", GIVE_URL)
        yield warning("proxies", f"TRUSTED_PROXIES={settings.trusted_proxies}, {GIVE_URL}")
        return
    headers = {
        check_token.HEADER: check_token.make(codes.check_key),
        "X-Forwarded-For": MADE_UP,
        "Cache-Control": "no-cache",
    }
    try:
        reply = site.get("/healthz", headers, REPLY_SECONDS)
    except OSError as error:
        yield fault("https", _no_reply(site, error))
        yield warning("proxies", f"TRUSTED_PROXIES={settings.trusted_proxies}, not checked: see https")
        return
    yield _https(site, reply)
    echo = _Echo.read(reply.body)
    if echo is None:
        yield fault("proxies", _not_this_gateway(site, reply))
        return
    yield _host(settings, site, echo)
    yield _proxies(site, echo)
    yield _exposed(site)


def _no_reply(site: Site, error: OSError) -> str:
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLError):
        # urllib3 keeps the cause in .reason, or as the first argument.
        inner = getattr(reason, "reason", None) or next(iter(reason.args), None)
        reason = inner if isinstance(inner, BaseException) else None
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"browsers will refuse the certificate of {site.url}: {quote(reason.verify_message)}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{site.url} has no TLS that browsers accept: look at the proxy's certificate and port"
    if isinstance(error, requests.Timeout):
        return f"{site.url} does not answer in time: look at DNS, firewall and proxy"
    return f"{site.url} does not answer ({type(error).__name__}): look at DNS, firewall and proxy"


def _not_this_gateway(site: Site, reply: Reply) -> str:
    """The finding if the reply does not come from this gateway."""
    if 300 <= reply.status < 400:
        return f"{site.url} redirects to {_target(reply)}: give that URL"
    if reply.status >= 500:
        return f"{site.url} answers {reply.status}: look whether the proxy reaches the gateway"
    return (
        f"{site.url} answers {reply.status}, but is no gateway with this SECRET_KEY: "
        "compare the keys, the versions, and the clocks of both"
    )


def _target(reply: Reply) -> str:
    try:
        netloc = urlsplit(reply.headers.get("Location", "")).netloc
    except ValueError:
        netloc = ""
    # The URL of a redirect can repeat user and password.
    return quote(netloc.rpartition("@")[2]) or "elsewhere"


def _https(site: Site, reply: Reply) -> Finding:
    if site.scheme != "https":
        if site.is_here:
            return warning("https", "this is the URL on this machine: give the public one")
        return fault("https", "codes and tokens are not encrypted: serve only https://")
    if site.on_usual_port and _serves_plainly(site):
        return fault("https", "http:// is served as well: let it redirect to https://")
    # If both the proxy and the gateway add this header, browsers use only the first (RFC 6797, section 8.1).
    if not HSTS_AGE.search(reply.headers.get("Strict-Transport-Security", "").partition(",")[0]):
        return warning("https", "TLS; set TRUSTED_PROXIES, or let the proxy add Strict-Transport-Security")
    return ok("https", "TLS, with Strict-Transport-Security")


def _serves_plainly(site: Site) -> bool:
    """Whether the port of http:// serves pages: it does not refuse, and does not redirect to https://."""
    try:
        reply = site.get_without_tls("/healthz", PLAIN_SECONDS)
    except OSError:
        return False
    location = reply.headers.get("Location", "").lower()
    return reply.status < 400 and not (reply.status >= 300 and location.startswith("https://"))


def _cookies(settings: Settings, site: Site | None) -> Finding:
    if not settings.auth_cookies:
        return ok("cookies", "tokens travel in bodies")
    if site is not None and site.scheme == "http":
        return fault("cookies", "AUTH_COOKIES needs https://: browsers send Secure cookies nowhere else")
    return ok("cookies", "tokens travel in Secure, HttpOnly, SameSite=Strict cookies")


def _host(settings: Settings, site: Site, echo: _Echo) -> Finding:
    if echo.host.lower() == site.netloc.lower():
        return ok("host", "the proxy passes Host on")
    words = f"Host arrives as {quote(echo.host)}: let the proxy pass it on (nginx: Host $http_host)"
    return (
        fault("host", f"{words}, AUTH_COOKIES needs it") if settings.auth_cookies else warning("host", words)
    )


def _proxies(site: Site, echo: _Echo) -> Finding:
    """Compare the setting with the hops after the made-up one: each proxy adds one to X-Forwarded-For."""
    trusted, hops = echo.trusted_proxies, echo.hops
    # If the outermost proxy starts a new list, the made-up hop is missing.
    kept = MADE_UP in hops
    actual = len(hops) - 1 - hops.index(MADE_UP) if kept else len(hops)
    # If our hop is missing, or if there is another forwarding header, there is a proxy. It must add a hop.
    adds_none = not actual and (echo.traces or not kept)
    remedy = f"{ADD_HOP}, and set 1" if adds_none else f"set {actual}"
    here = f"TRUSTED_PROXIES={trusted}"
    if trusted > actual and kept:
        words = f"{actual} add to X-Forwarded-For: clients can forge their address, and avoid every limit"
        return fault("proxies", f"{here}, but {words}; {remedy}")
    if trusted != actual or adds_none:
        words = (
            f"{actual} add to X-Forwarded-For: all clients count as a proxy of yours, and share its limits"
        )
        return fault("proxies", f"{here}, and {words}; {remedy}")
    client = quote(echo.client)
    if not _is_ours(site, echo.client):
        return warning(
            "proxies",
            f"{here}, and this machine counts as {client}: if that is a proxy of yours, all clients share "
            f"its limits; {ADD_HOP}",
        )
    return ok("proxies", f"{here}, as many as add to X-Forwarded-For; this machine counts as {client}")


def _is_ours(site: Site, client: str) -> bool:
    """Whether the client's network can be this machine's: it is public, or has one of its addresses."""
    try:
        network = ipaddress.ip_network(client)
    except ValueError:
        return False
    return network.is_global or any(address in network for address in site.own_addresses())


def _exposed(site: Site) -> Finding:
    """Call /metrics like an unknown client: without a forwarding header."""
    try:
        status = site.get("/metrics", {}, REPLY_SECONDS).status
    except OSError as error:
        return warning("exposed", f"/metrics does not answer ({type(error).__name__}): look at the proxy")
    if status != 200:
        return ok("exposed", f"/metrics answers {status} without a token")
    if site.is_here:
        return ok(
            "exposed", "/metrics is open on this machine; give the public address to see it from outside"
        )
    return fault("exposed", "/metrics is open to all clients: set METRICS_TOKEN, or close it at the proxy")
