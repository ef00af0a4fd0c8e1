"""The OpenAPI 3.1 document, made from the schemas, the error table and the lists of operations."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, request

from otp_gateway.api import response_schemas
from otp_gateway.api.token_transport import BEARER, TransportDescription
from otp_gateway.openapi import headers, operations, probes, problems
from otp_gateway.openapi.operation import JSON, Operation, describe_operation, problem_response
from otp_gateway.settings import Settings
from otp_gateway.version import __version__

PATH = "/openapi.json"
ABOUT = """\
Post a phone number, and the gateway texts a code. Post the code, and you get a session.

Requests are JSON in UTF-8, of at most 8 KiB. Members that are not described are ignored. Later versions
may add members to replies.

**HTTP.** A path with `GET` also has `HEAD`. `OPTIONS` names the methods of a path. Any other method gets
405 `method_not_allowed`, any other path 404 `not_found`. A request that is not valid HTTP, or whose head is
too large, is refused before a route is called. This reply is a problem document too: 400 `invalid_request`,
414 `uri_too_long`, 417 `expectation_failed`, 431 `request_header_fields_too_large`, 501 `not_implemented` or
505 `http_version_not_supported`.

**Limits.** An address may make a number of requests in a minute. `RateLimit-Policy` and `RateLimit` show how
many are left.

**Errors** are problem documents (RFC 9457). Use `code`, which is stable; `detail` is for people.

| code | status | meaning |
|---|---|---|
"""
WITH_CORS = """
**Pages of other origins** that the operator has listed may call the API. `OPTIONS` answers their preflights.
"""
TAGS = {
    "Login": "From a phone number to a session: send a code, let the user type it, exchange it.",
    "Session": "How a client uses its tokens, and how a backend checks them.",
    "Operations": "For load balancers, monitoring and tools.",
}


def install(app: Flask, settings: Settings, transport: TransportDescription) -> None:
    """Serve the document at ``PATH``, for the API as it is configured."""

    @functools.cache
    def text() -> str:
        # The document is made once, at the first request. It would take half of the time in which an
        # application is built. The order of the operations and their members is kept.
        return json.dumps(describe(settings, transport), ensure_ascii=False, separators=(",", ":"))

    @app.get(PATH)
    def openapi() -> Response:
        response = Response(text(), mimetype=JSON)
        response.cache_control.no_cache = True
        response.add_etag()
        response.make_conditional(request)
        return response


def describe(settings: Settings, transport: TransportDescription) -> dict[str, Any]:
    """Make the document. ``transport``: the transport of tokens."""
    cross_origin, metrics_token = bool(settings.cors_origins), bool(settings.metrics_token)
    listed = [
        *operations.operations(settings, transport),
        *probes.operations(metrics_token=metrics_token, document_path=PATH),
    ]
    kinds = _kinds(listed)
    spec = APISpec(
        title="otp-gateway",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "summary": "Phone login by one-time code",
            "description": _about(kinds, transport, cross_origin=cross_origin),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        servers=[{"url": "/", "description": "The gateway that serves this document"}],
        tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    for name, scheme in _schemes(transport, metrics_token=metrics_token).items():
        spec.components.security_scheme(name, scheme)
    spec.components.schema("Problem", schema=response_schemas.ProblemSchema)
    general = spec.components.schemas["Problem"]
    for kind in kinds:
        spec.components.schema(kind.name, kind.schema(general, _optional_members(kind, listed)))
    for name, header in headers.components().items():
        spec.components.header(name, header)
    for name, parameter in headers.parameters().items():
        spec.components.parameter(name, "header", parameter)
    for code in (problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED):
        kind = problems.KINDS[code]
        names = (*headers.EVERYWHERE, *headers.OF_STATUS.get(kind.status, ()))
        spec.components.response(kind.name, problem_response([kind], headers.of(names)))
    for operation in listed:
        spec.path(
            operation.path,
            operations={operation.method: describe_operation(operation, cross_origin=cross_origin)},
        )
    document: dict[str, Any] = spec.to_dict()
    return document


def _kinds(listed: Iterable[Operation]) -> list[problems.Kind]:
    """The kinds of problem that the API can answer, in the order of their statuses."""
    codes = {code for operation in listed for code in operation.codes}
    codes |= {problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED}
    return sorted((problems.KINDS[code] for code in codes), key=lambda kind: (kind.status, kind.code))


def _optional_members(kind: problems.Kind, listed: Iterable[Operation]) -> list[str]:
    """The members that a problem of this kind has only in some operation."""
    return list({name: None for operation in listed for name in operation.members.get(kind.code, {})})


def _about(kinds: Iterable[problems.Kind], transport: TransportDescription, *, cross_origin: bool) -> str:
    rows = [f"| `{kind.code}` | {kind.status} | {kind.meaning} |\n" for kind in kinds]
    return ABOUT + "".join(rows) + transport.about + WITH_CORS * cross_origin


def _schemes(transport: TransportDescription, *, metrics_token: bool) -> dict[str, Any]:
    schemes = {name: dict(scheme) for name, scheme in transport.security_schemes.items()}
    if metrics_token:
        schemes["metrics"] = {**BEARER, "description": "`METRICS_TOKEN`"}
    return schemes


def _name(schema: Any) -> str:
    """The name of a schema among the components."""
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Schema")
