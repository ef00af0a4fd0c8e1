"""The headers of requests and replies, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from otp_gateway.api import cors
from otp_gateway.api.token_transport import ACCESS_COOKIE, REFRESH_COOKIE

# By component: the header's name, its schema, its meaning. Several components may be one header.
HEADERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "X-Request-ID": (
        "X-Request-ID",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "examples": ["kqzvbnwmxtrlpyhgdfsjacue"]},
        "The id of the request in the gateway's log: the client's own id, if it was acceptable",
    ),
    "RateLimit-Policy": (
        "RateLimit-Policy",
        {
            "type": "string",
            "pattern": '^"ip";q=[0-9]+;w=[0-9]+(, "ip-[0-9]+";q=[0-9]+;w=[0-9]+)*$',
            "examples": ['"ip";q=5;w=60'],
        },
        "The limit of an address: `q` requests in `w` seconds",
    ),
    "RateLimit": (
        "RateLimit",
        {
            "type": "string",
            "pattern": '^"ip";r=[0-9]+;t=[0-9]+(, "ip-[0-9]+";r=[0-9]+;t=[0-9]+)*$',
            "examples": ['"ip";r=4;t=30'],
        },
        "The rest of the limit: `r` requests, and one more in `t` seconds",
    ),
    "Retry-After": (
        "Retry-After",
        {"type": "integer", "minimum": 1, "examples": [30]},
        "Seconds. On a 429 it is enough to wait so long; on a 503 it is only a hint",
    ),
    "NoStore": ("Cache-Control", {"type": "string", "enum": ["no-store"]}, "No cache stores it"),
    "Cacheable": (
        "Cache-Control",
        {"type": "string", "examples": ["public, max-age=300"]},
        "For how many seconds a cache may store it",
    ),
    "Revalidate": (
        "Cache-Control",
        {"type": "string", "enum": ["no-cache"]},
        "A cache may store it, and must check it for each use",
    ),
    "ETag": ("ETag", {"type": "string", "examples": ['"1e746c42"']}, "Its version, for `If-None-Match`"),
    "WWW-Authenticate": (
        "WWW-Authenticate",
        {"type": "string", "examples": ['Bearer realm="otp-gateway", error="invalid_token"']},
        "The reason (RFC 6750)",
    ),
    "Set-Cookie": (
        "Set-Cookie",
        {"type": "string", "examples": [f"{ACCESS_COOKIE}=…; Secure; HttpOnly; Path=/; SameSite=Strict"]},
        f"`{ACCESS_COOKIE}` and `{REFRESH_COOKIE}`, each in a header of its own",
    ),
    "Allow": (
        "Allow",
        {"type": "string", "examples": ["OPTIONS, POST"]},
        "The methods of the path",
    ),
    "Access-Control-Allow-Origin": (
        "Access-Control-Allow-Origin",
        {"type": "string", "examples": ["https://app.example.com"]},
        "The origin of the calling page, if it is listed",
    ),
    "Access-Control-Expose-Headers": (
        "Access-Control-Expose-Headers",
        {"type": "string", "enum": [", ".join(cors.EXPOSED)]},
        "The headers that a script of that page may read",
    ),
    "Vary": (
        "Vary",
        {"type": "string", "examples": ["Origin"]},
        "The request headers on which the reply depends",
    ),
}
EVERYWHERE = ("X-Request-ID",)
COUNTED = ("RateLimit-Policy", "RateLimit")
# Redis could not count the request, or an error came before the count.
PERHAPS_COUNTED = (500, 503)
CROSS_ORIGIN = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
OF_STATUS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    409: ("Retry-After",),
    412: ("NoStore",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
REQUEST_ID = "RequestId"
IF_NONE_MATCH = "IfNoneMatch"
IDEMPOTENCY_KEY = "IdempotencyKey"
TEXT = {"type": "string"}
# By component: the name of a request's header, its meaning, and its schema.
PARAMETERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    REQUEST_ID: (
        "X-Request-ID",
        "Your own id for the request: up to 128 letters, digits, `.`, `_` and `-`, no phone number.",
        TEXT,
    ),
    IF_NONE_MATCH: ("If-None-Match", "The `ETag` of the version that you have.", TEXT),
    IDEMPOTENCY_KEY: (
        "Idempotency-Key",
        "A random name for the request. A repeat within 60 s gets the outcome of the first request.",
        TEXT | {"pattern": '^(?:[A-Za-z0-9._~-]{16,128}|"[A-Za-z0-9._~-]{16,128}")$'},
    ),
}


def components() -> dict[str, Any]:
    """Every header of a reply, for the components of the document."""
    return {component: _header(component) | {"required": True} for component in HEADERS}


def parameters() -> dict[str, Any]:
    """Every header of a request, for the components of the document."""
    return {
        component: {"name": name, "in": "header", "description": about, "schema": schema}
        for component, (name, about, schema) in PARAMETERS.items()
    }


def of(names: tuple[str, ...], perhaps: tuple[str, ...] = ()) -> dict[str, Any]:
    """The headers of a reply: some that it always has, and some that it has sometimes."""
    sure = {HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in names}
    return sure | {HEADERS[name][0]: _header(name) for name in perhaps}


def _header(component: str) -> dict[str, Any]:
    _, schema, about = HEADERS[component]
    return {"description": about, "schema": schema}
