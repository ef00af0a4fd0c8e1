"""The OpenAPI 3.1 document, made from the schemas and from the error table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, jsonify
from marshmallow import Schema

from otp_gateway import errors
from otp_gateway.api import replies, schemas
from otp_gateway.api.delivery import ACCESS_COOKIE, REFRESH_COOKIE
from otp_gateway.api.errors import STATUS
from otp_gateway.api.routes import PREFIX
from otp_gateway.version import __version__

PROBLEM = "application/problem+json"
# What the web framework finds by itself, beside the domain's table.
FRAMEWORK = {"payload_too_large": 413, "unsupported_media_type": 415}
STATUSES = {
    error.code: int(status) for error, status in STATUS.items() if error.__dict__.get("code")
} | FRAMEWORK
BODY = (errors.InvalidRequest.code, *FRAMEWORK)
DOOR = (errors.RateLimited.code, errors.StoreUnavailable.code)
PHONE = (
    errors.InvalidPhoneNumber.code,
    errors.UnsupportedDestination.code,
    errors.TooManyAttempts.code,
)
SEND = (
    errors.TooManyOtpRequests.code,
    errors.SmsNotConfigured.code,
    errors.SmsFailed.code,
    errors.SmsUnconfirmed.code,
)
HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-ID": ("string", "The request's id, echoed when the client sent a sane one"),
    "RateLimit-Policy": ("string", 'The windows of the address, e.g. "ip";q=5;w=60'),
    "RateLimit": ("string", 'What they leave, e.g. "ip";r=4;t=30'),
    "Retry-After": ("integer", "Whole seconds; on a 429 waiting that long is enough"),
    "Cache-Control": ("string", "no-store"),
    "WWW-Authenticate": ("string", "RFC 6750"),
    "Set-Cookie": ("string", f"{ACCESS_COOKIE} and {REFRESH_COOKIE}"),
    "ETag": ("string", "The version of the keys"),
}


Security = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    summary: str
    reply: type[Schema] | None
    status: int = 200
    request: Schema | None = None
    problems: Sequence[str] = ()
    headers: Sequence[str] = ()
    counted: bool = False
    security: Sequence[Security] = ()
    optional_body: bool = False


def install(app: Flask, *, channels: Sequence[str], code_length: int, cookies: bool) -> None:
    """Serve /openapi.json for the routes as they are configured."""
    document = describe(channels=channels, code_length=code_length, cookies=cookies)

    @app.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document)


def describe(*, channels: Sequence[str], code_length: int, cookies: bool) -> dict[str, Any]:
    """The document; ``cookies``: tokens travel in cookies instead of bodies."""
    spec = APISpec(
        title="otp-gateway",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "description": "Phone login by one-time code.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    if cookies:
        for scheme, name in (("access", ACCESS_COOKIE), ("refresh", REFRESH_COOKIE)):
            spec.components.security_scheme(scheme, {"type": "apiKey", "in": "cookie", "name": name})
    spec.components.schema("Problem", schema=replies.Problem)
    for name, (kind, description) in HEADERS.items():
        spec.components.header(name, {"schema": {"type": kind}, "description": description})
    for operation in _operations(channels, code_length, cookies=cookies):
        spec.path(operation.path, operations={operation.method: _describe(operation)})
    document: dict[str, Any] = spec.to_dict()
    return document


def _operations(channels: Sequence[str], code_length: int, *, cookies: bool) -> list[Operation]:
    pair = replies.Session if cookies else replies.TokenPair
    origin = (errors.CrossOrigin.code,) if cookies else ()
    given = ("Cache-Control", *(("Set-Cookie",) if cookies else ()))
    token = None if cookies else schemas.token_request()
    presented: Sequence[Security] = [{"access": [], "refresh": []}] if cookies else []
    return [
        Operation(
            path=f"{PREFIX}/otp",
            method="post",
            summary="Send a code",
            request=schemas.send_request(channels),
            reply=replies.Sent,
            headers=("Cache-Control",),
            problems=(*BODY, *PHONE, *SEND, *DOOR),
            counted=True,
        ),
        Operation(
            path=f"{PREFIX}/otp/verify",
            method="post",
            summary="Exchange a code for a session",
            request=schemas.verify_request(code_length),
            reply=pair,
            headers=given,
            problems=(*BODY, *PHONE, errors.InvalidCode.code, *origin, *DOOR),
            counted=True,
        ),
        Operation(
            path=f"{PREFIX}/token/refresh",
            method="post",
            summary="Spend a refresh token for the next pair",
            request=token,
            reply=pair,
            headers=given,
            problems=(*BODY, errors.InvalidToken.code, *origin, *DOOR),
            counted=True,
            security=presented,
            optional_body=cookies,
        ),
        Operation(
            path=f"{PREFIX}/token/revoke",
            method="post",
            summary="End the session of a refresh token, whatever has become of it",
            request=token,
            reply=None,
            status=204,
            headers=given,
            problems=(*BODY, *origin, *DOOR),
            counted=True,
            security=presented,
            optional_body=cookies,
        ),
        Operation(
            path=f"{PREFIX}/me",
            method="get",
            summary="Who is signed in, by the token alone",
            reply=replies.User,
            headers=("Cache-Control",),
            problems=(errors.InvalidToken.code, *origin),
            security=[{"bearer": []}, {"access": []}] if cookies else [{"bearer": []}],
        ),
        Operation(
            path="/.well-known/jwks.json",
            method="get",
            summary="The public keys of tokens",
            reply=replies.KeySet,
            headers=("Cache-Control", "ETag"),
        ),
        Operation(path="/healthz", method="get", summary="The process answers", reply=replies.Healthy),
        Operation(
            path="/readyz",
            method="get",
            summary="Redis answers, and the SMS service is configured",
            reply=replies.Ready,
            problems=(errors.StoreUnavailable.code, errors.SmsNotConfigured.code),
        ),
    ]


def _describe(operation: Operation) -> dict[str, Any]:
    usual = ("X-Request-ID", *(("RateLimit-Policy", "RateLimit") if operation.counted else ()))
    success: dict[str, Any] = {
        "description": operation.reply.__doc__ if operation.reply else "Done",
        "headers": _headers(*usual, *operation.headers),
    }
    if operation.reply:
        success["content"] = {"application/json": {"schema": operation.reply}}
    responses = {str(operation.status): success}
    for status in sorted({STATUSES[code] for code in operation.problems}):
        codes = [code for code in operation.problems if STATUSES[code] == status]
        responses[str(status)] = _problem(status, codes, usual)
    responses["default"] = {
        "description": "Any other error, internal_error among them",
        "headers": _headers("X-Request-ID"),
        "content": {PROBLEM: {"schema": replies.Problem}},
    }
    found: dict[str, Any] = {"summary": operation.summary, "responses": responses}
    if operation.request is not None:
        content = {"application/json": {"schema": operation.request}}
        found["requestBody"] = {"required": True, "content": content}
    elif operation.optional_body:
        found["requestBody"] = {"content": {"application/json": {"schema": {}}}}
    if operation.security:
        found["security"] = list(operation.security)
    return found


def _problem(status: int, codes: Sequence[str], usual: Sequence[str]) -> dict[str, Any]:
    extra = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    # A request that Redis could not count has no rate limit to tell.
    names = [name for name in usual if status != 503 or not name.startswith("RateLimit")]
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"code": {"enum": list(codes)}, "status": {"const": status}}},
        ]
    }
    return {
        "description": ", ".join(codes),
        "headers": _headers(*names, *extra),
        "content": {PROBLEM: {"schema": schema}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _name(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Schema")
