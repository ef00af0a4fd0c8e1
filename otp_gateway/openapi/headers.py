"""The headers of requests and replies, in words: what the OpenAPI document says of them."""

from __future__ import annotations

from typing import Any

from otp_gateway.api import cors
from otp_gateway.api.token_transport import ACCESS_COOKIE, REFRESH_COOKIE

# By component: the header's name, its schema, what it says. Several components may be one header.
HEADERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "X-Request-ID": (
        "X-Request-ID",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "examples": ["kqzvbnwmxtrlpyhgdfsjacue"]},
        "The id of the request in the gateway's log: the client's own where it sent a sane one",
    ),
    "RateLimit-Policy": (
        "RateLimit-Policy",
        {
            "type": "string",
            "pattern": '^"ip";q=[0-9]+;w=[0-9]+(, "ip-[0-9]+";q=[0-9]+;w=[0-9]+)*$',
            "examples": ['"ip";q=5;w=60'],
        },
        "What an address may do: `q` requests in `w` seconds",
    ),
    "RateLimit": (
        "RateLimit",
        {
            "type": "string",
            "pattern": '^"ip";r=[0-9]+;t=[0-9]+(, "ip-[0-9]+";r=[0-9]+;t=[0-9]+)*$',
            "examples": ['"ip";r=4;t=30'],
        },
        "What is left of that: `r` requests, and one more in `t` seconds",
    ),
    "Retry-After": (
        "Retry-After",
        {"type": "integer", "minimum": 1, "examples": [30]},
        "Seconds. On a 429 waiting that long is enough; on a 503 it is a guess",
    ),
    "NoStore": ("Cache-Control", {"type": "string", "enum": ["no-store"]}, "Nobody keeps it"),
    "Cacheable": (
        "Cache-Control",
        {"type": "string", "examples": ["public, max-age=300"]},
        "For how many seconds it may be kept",
    ),
    "Revalidate": (
        "Cache-Control",
        {"type": "string", "enum": ["no-cache"]},
        "It may be kept, if it is asked for anew each time",
    ),
    "ETag": ("ETag", {"type": "string", "examples": ['"1e746c42"']}, "Its version, for `If-None-Match`"),
    "WWW-Authenticate": (
        "WWW-Authenticate",
        {"type": "string", "examples": ['Bearer realm="otp-gateway", error="invalid_token"']},
        "What is missing (RFC 6750)",
    ),
    "Set-Cookie": (
        "Set-Cookie",
        {"type": "string", "examples": [f"{ACCESS_COOKIE}=…; Secure; HttpOnly; Path=/; SameSite=Strict"]},
        f"`{ACCESS_COOKIE}` and `{REFRESH_COOKIE}`, each in a header of its own",
    ),
    "Allow": (
        "Allow",
        {"type": "string", "examples": ["OPTIONS, POST"]},
        "The methods that the path has",
    ),
    "Access-Control-Allow-Origin": (
        "Access-Control-Allow-Origin",
        {"type": "string", "examples": ["https://app.example.com"]},
        "The origin of the page that asks, if it is one of those listed",
    ),
    "Access-Control-Expose-Headers": (
        "Access-Control-Expose-Headers",
        {"type": "string", "enum": [", ".join(cors.EXPOSED)]},
        "What a script of that page may read",
    ),
    "Vary": ("Vary", {"type": "string", "examples": ["Origin"]}, "What the reply depends on"),
}
EVERYWHERE = ("X-Request-ID",)
COUNTED = ("RateLimit-Policy", "RateLimit")
# Where Redis could not count a request, or the fault came before it did.
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
# By component: the name of a request's header, what it is good for, and its schema.
PARAMETERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    REQUEST_ID: (
        "X-Request-ID",
        "Your own id for the request: up to 128 letters, digits, `.`, `_` and `-`, no phone number.",
        TEXT,
    ),
    IF_NONE_MATCH: ("If-None-Match", "The `ETag` of what you have.", TEXT),
    IDEMPOTENCY_KEY: (
        "Idempotency-Key",
        "A random name for the request. A repeat with this key within 60 s gets the first one's outcome.",
        TEXT | {"pattern": '^(?:[A-Za-z0-9._~-]{16,128}|"[A-Za-z0-9._~-]{16,128}")$'},
    ),
}


def components() -> dict[str, Any]:
    """Every header of a reply, as it stands among the components."""
    return {component: _header(component) | {"required": True} for component in HEADERS}


def parameters() -> dict[str, Any]:
    """Every header of a request, as it stands among the components."""
    return {
        component: {"name": name, "in": "header", "description": about, "schema": schema}
        for component, (name, about, schema) in PARAMETERS.items()
    }


def of(names: tuple[str, ...], perhaps: tuple[str, ...] = ()) -> dict[str, Any]:
    """A reply's headers: those that it surely has, and those that it has at times."""
    sure = {HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in names}
    return sure | {HEADERS[name][0]: _header(name) for name in perhaps}


def _header(component: str) -> dict[str, Any]:
    _, schema, about = HEADERS[component]
    return {"description": about, "schema": schema}
