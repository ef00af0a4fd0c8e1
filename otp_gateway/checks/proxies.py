"""The way from outside: TLS, the host's name, and the proxies against what the gateway sees of a request."""

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
from otp_gateway.checks.site import Answer, Site
from otp_gateway.codes import Codes
from otp_gateway.settings import Settings

ANSWER_SECONDS = 3.0
PLAIN_SECONDS = 1.0
# An address for documentation (RFC 5737): nobody's, so whoever is counted under it has made it up.
MADE_UP = "203.0.113.77"
GIVE = "not looked at: give --url https://..., the public address"
ADD = (
    "let each proxy add to X-Forwarded-For "
    "(nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)"
)
HSTS_AGE = re.compile(r"max-age\s*=\s*\"?0*[1-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """What the gateway says of our own request; see ``otp_gateway.api.proxy_echo``."""

    trusted_proxies: int
    client: str
    hops: list[str]
    traces: list[str]
    host: str

    @classmethod
    def read(cls, body: bytes) -> _Arrived | None:
        """From the reply; None where it is none of a gateway that has taken our pass."""
        try:
            told = json.loads(body)["arrival"]
            found = cls(
                told["trusted_proxies"],
                told["client"],
                told["forwarded_for"],
                told["forwarding"],
                told["host"],
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        texts = [found.client, found.host, *_texts(found.hops), *_texts(found.traces)]
        sound = isinstance(found.trusted_proxies, int) and all(isinstance(text, str) for text in texts)
        return found if sound else None


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


def look(settings: Settings, codes: Codes, site: Site | None) -> Iterator[Finding]:
    """A few requests to the site, none of which counts for a limit; without it, what the settings tell."""
    yield _cookies(settings, site)
    if site is None:
        yield warning("https", GIVE)
        yield warning("proxies", f"TRUSTED_PROXIES={settings.trusted_proxies}, {GIVE}")
        return
    headers = {
        check_token.HEADER: check_token.make(codes.check_key),
        "X-Forwarded-For": MADE_UP,
        "Cache-Control": "no-cache",
    }
    try:
        answer = site.ask("/healthz", headers, ANSWER_SECONDS)
    except OSError as error:
        yield fault("https", _why(site, error))
        yield warning("proxies", f"TRUSTED_PROXIES={settings.trusted_proxies}, not looked at: see https")
        return
    yield _https(site, answer)
    arrived = _Arrived.read(answer.body)
    if arrived is None:
        yield fault("proxies", _who(site, answer))
        return
    yield _host(settings, site, arrived)
    yield _proxies(site, arrived)
    yield _exposed(site)


def _why(site: Site, error: OSError) -> str:
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLError):
        # urllib3 keeps the cause in .reason, or as the argument.
        inner = getattr(reason, "reason", None) or next(iter(reason.args), None)
        reason = inner if isinstance(inner, BaseException) else None
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"browsers will refuse the certificate of {site.url}: {quote(reason.verify_message)}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{site.url} speaks no TLS that browsers understand: look at the proxy's certificate and port"
    if isinstance(error, requests.Timeout):
        return f"{site.url} does not answer in time: look at DNS, firewall and proxy"
    return f"{site.url} does not answer ({type(error).__name__}): look at DNS, firewall and proxy"


def _who(site: Site, answer: Answer) -> str:
    """What to do where the answer is none of this gateway's."""
    if 300 <= answer.status < 400:
        return f"{site.url} sends us on to {_target(answer)}: give that address"
    if answer.status >= 500:
        return f"{site.url} answers {answer.status}: look whether the proxy reaches the gateway"
    return (
        f"{site.url} answers {answer.status}, but is no gateway with this SECRET_KEY: "
        "compare the keys, the versions, and the clocks of both"
    )


def _target(answer: Answer) -> str:
    try:
        netloc = urlsplit(answer.headers.get("Location", "")).netloc
    except ValueError:
        netloc = ""
    # A redirect may repeat user and password.
    return quote(netloc.rpartition("@")[2]) or "elsewhere"


def _https(site: Site, answer: Answer) -> Finding:
    if site.scheme != "https":
        if site.is_here:
            return warning("https", "this is the address on this machine: give the public one")
        return fault("https", "codes and tokens cross the network in the clear: serve https:// alone")
    if site.on_usual_port and _serves_plainly(site):
        return fault("https", "http:// is served as well: let it redirect to https://")
    if not HSTS_AGE.search(answer.headers.get("Strict-Transport-Security", "")):
        return warning("https", "TLS; let the proxy add Strict-Transport-Security")
    return ok("https", "TLS, with Strict-Transport-Security")


def _serves_plainly(site: Site) -> bool:
    """Whether the port of http:// gives anything but a refusal or the way to https://."""
    try:
        answer = site.ask_plainly("/healthz", PLAIN_SECONDS)
    except OSError:
        return False
    location = answer.headers.get("Location", "").lower()
    return answer.status < 400 and not (answer.status >= 300 and location.startswith("https://"))


def _cookies(settings: Settings, site: Site | None) -> Finding:
    if not settings.auth_cookies:
        return ok("cookies", "tokens travel in bodies")
    if site is not None and site.scheme == "http":
        return fault("cookies", "AUTH_COOKIES needs https://: browsers send Secure cookies nowhere else")
    return ok("cookies", "tokens travel in Secure, HttpOnly, SameSite=Strict cookies")


def _host(settings: Settings, site: Site, arrived: _Arrived) -> Finding:
    if arrived.host.lower() == site.netloc.lower():
        return ok("host", "the proxy passes Host on")
    words = f"Host arrives as {quote(arrived.host)}: let the proxy pass it on (nginx: Host $http_host)"
    return (
        fault("host", f"{words}, AUTH_COOKIES needs it") if settings.auth_cookies else warning("host", words)
    )


def _proxies(site: Site, arrived: _Arrived) -> Finding:
    """Each proxy adds its peer to X-Forwarded-For: behind the made-up hop stand as many as there are."""
    trusted, hops = arrived.trusted_proxies, arrived.hops
    # An outermost proxy that starts the list anew has dropped ours.
    kept = MADE_UP in hops
    actual = len(hops) - 1 - hops.index(MADE_UP) if kept else len(hops)
    # Whoever took our hop away stands in front, as does whoever left other headers.
    mute = not actual and (arrived.traces or not kept)
    remedy = f"{ADD}, and set 1" if mute else f"set {actual}"
    here = f"TRUSTED_PROXIES={trusted}"
    if trusted > actual and kept:
        words = f"{actual} add to X-Forwarded-For: clients choose their own address, and pass every limit"
        return fault("proxies", f"{here}, but {words}; {remedy}")
    if trusted != actual or mute:
        words = (
            f"{actual} add to X-Forwarded-For: all clients count as a proxy of yours, and share its limits"
        )
        return fault("proxies", f"{here}, and {words}; {remedy}")
    client = quote(arrived.client)
    if not _is_ours(site, arrived.client):
        return warning(
            "proxies",
            f"{here}, and this machine counts as {client}: if that is a proxy of yours, all clients share "
            f"its limits; {ADD}",
        )
    return ok("proxies", f"{here}, as many as add to X-Forwarded-For; this machine counts as {client}")


def _is_ours(site: Site, client: str) -> bool:
    """Whether the client's network can be this machine's: one of the internet, or its own address."""
    try:
        network = ipaddress.ip_network(client)
    except ValueError:
        return False
    return network.is_global or any(address in network for address in site.own_addresses())


def _exposed(site: Site) -> Finding:
    """Asked as a stranger asks, without a forwarding header."""
    try:
        status = site.ask("/metrics", {}, ANSWER_SECONDS).status
    except OSError as error:
        return warning("exposed", f"/metrics does not answer ({type(error).__name__}): look at the proxy")
    if status != 200:
        return ok("exposed", f"/metrics answers {status} without a token")
    if site.is_here:
        return ok(
            "exposed", "/metrics is open on this machine; give the public address to see it from outside"
        )
    return fault("exposed", "/metrics is open to everybody: set METRICS_TOKEN, or close it at the proxy")
