"""Finds the client's network: from the address of the peer and from its forwarding header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from flask import Request, request

from otp_gateway.api import context
from otp_gateway.codes import Codes
from otp_gateway.log import get_logger

# A hop can have a port: 192.0.2.1:443, [2001:db8::1]:443.
HOP = re.compile(r"\s*(?:\[(?P<six>[^\]]+)\](?::\d+)?|(?P<four>[\d.]+):\d+|(?P<bare>\S+))\s*")
UNKNOWN = "unknown"
# A request with one of these headers came through a proxy. So the address of the peer is not the client's
# address.
FORWARDING = frozenset(
    {
        "forwarded",
        "via",
        "cdn-loop",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "x-envoy-external-address",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "fly-client-ip",
    }
)
FORWARDING_PREFIX = "x-forwarded"
logger = get_logger("otp_gateway.proxies")


def identifier(codes: Codes, trusted_proxies: int) -> Callable[[], None]:
    """A before-request function that puts the client's opaque ids into the request's context."""
    warned = trusted_proxies > 0

    def identify() -> None:
        nonlocal warned
        if not warned and _comes_from_a_proxy(request):
            warned = True
            logger.warning(
                "a proxy forwards requests, but TRUSTED_PROXIES is 0: all its users share one limit"
            )
        here = context.current()
        here.networks = [codes.client(network) for network in networks(request, trusted_proxies)]
        here.note(client=here.client)

    return identify


def networks(arrived: Request, trusted_proxies: int) -> tuple[str, ...]:
    """The client's network: an IPv4 address, or an IPv6 /48 and the /64 in it.

    The client's address is the hop number ``trusted_proxies`` from the right of X-Forwarded-For: our own
    proxies have written the hops on the right. The client can forge all hops to the left of it. If the hop is
    missing or unreadable, the address of the peer is used. All peers without an address (unix sockets) are
    one client.
    """
    address = None
    if trusted_proxies:
        hops = forwarded_for(arrived)
        if len(hops) >= trusted_proxies:
            address = address_of(hops[-trusted_proxies])
    address = address or address_of(arrived.remote_addr or "")
    if address is None:
        return (UNKNOWN,)
    return networks_of(address)


def networks_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[str, ...]:
    """The networks of this address."""
    if isinstance(address, ipaddress.IPv4Address):
        return (str(address),)
    return tuple(str(ipaddress.ip_network((address.packed, prefix), strict=False)) for prefix in (48, 64))


def forwarded_for(arrived: Request) -> list[str]:
    """The hops in all X-Forwarded-For headers of the request. The nearest hop is the last one."""
    return ",".join(arrived.headers.getlist("X-Forwarded-For")).split(",")


def forwarding_headers(arrived: Request) -> set[str]:
    """The names, in lower case, of the forwarding headers. A proxy or the client itself has written them."""
    names = {name.lower() for name, _ in arrived.headers}
    return {name for name in names if name in FORWARDING or name.startswith(FORWARDING_PREFIX)}


def _comes_from_a_proxy(arrived: Request) -> bool:
    """Whether the peer has a private address and adds forwarding headers."""
    peer = address_of(arrived.remote_addr or "")
    return peer is not None and peer.is_private and bool(forwarding_headers(arrived))


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in this text, which can have a port. An IPv4-mapped address is its IPv4 address."""
    match = HOP.fullmatch(text)
    if not match:
        return None
    try:
        address = ipaddress.ip_address(match["six"] or match["four"] or match["bare"])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
