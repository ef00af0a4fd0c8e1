"""The OpenAPI 3.1 document, made from the schemas, the error table and the list of operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, request

from otp_gateway.api import cors, response_schemas
from otp_gateway.api.problems import PROBLEM
from otp_gateway.api.token_transport import ACCESS_COOKIE, REFRESH_COOKIE
from otp_gateway.openapi import headers, problems
from otp_gateway.openapi.operations import DOCUMENT, JSON, TAGS, Operation, operations
from otp_gateway.version import __version__

ABOUT = """\
Post a phone number, the gateway texts a code; post the code, get a session.

Requests are JSON in UTF-8, of at most 8 KiB; members that are not described are passed over. Later versions
may add members to replies.

**HTTP.** `HEAD` is answered wherever `GET` is, `OPTIONS` names the methods of a path. Any other method gets
405 `method_not_allowed`, any other path 404 `not_found`. What is no HTTP, such as a control character in a
header, is refused with `text/html` before a route is asked.

**Limits.** An address may ask a number of times in a minute; `RateLimit-Policy` and `RateLimit` tell what is
left.

**Errors** are problem documents (RFC 9457). Go by `code`, which is stable; `detail` is for people.

| code | status | meaning |
|---|---|---|
"""
WITH_COOKIES = """
**Tokens** travel in cookies that scripts cannot read. Verify, refresh, revoke and, by cookie, `me` answer
pages of this origin alone; browsers say where a page is from (`Sec-Fetch-Site`, or `Origin`) by themselves.
"""
WITH_CORS = """
**Pages of other origins** that the operator has listed may call the API. `OPTIONS` answers their preflights.
"""


def install(
    app: Flask,
    *,
    channels: Sequence[str],
    code_length: int,
    cookies: bool,
    cross_origin: bool,
    metrics_token: bool = False,
) -> None:
    """Serve the document for the routes as they are configured."""
    document = describe(
        channels=channels,
        code_length=code_length,
        cookies=cookies,
        cross_origin=cross_origin,
        metrics_token=metrics_token,
    )

    # In the order of the operations' list, and once.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @app.get(DOCUMENT)
    def openapi() -> Response:
        response = Response(text, mimetype=JSON)
        response.cache_control.no_cache = True
        response.add_etag()
        response.make_conditional(request)
        return response


def describe(
    *,
    channels: Sequence[str],
    code_length: int,
    cookies: bool,
    cross_origin: bool = False,
    metrics_token: bool = False,
) -> dict[str, Any]:
    """The document.

    ``cookies``: tokens travel in cookies instead of bodies. ``cross_origin``: pages of other origins may
    call. ``metrics_token``: scrapers show a token, wherever they are.
    """
    listed = operations(
        channels=channels, code_length=code_length, cookies=cookies, metrics_token=metrics_token
    )
    kinds = _kinds(listed)
    spec = APISpec(
        title="otp-gateway",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "summary": "Phone login by one-time code",
            "description": _about(kinds, cookies=cookies, cross_origin=cross_origin),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        servers=[{"url": "/", "description": "The gateway that serves this document"}],
        tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    for name, scheme in _schemes(cookies=cookies, metrics_token=metrics_token).items():
        spec.components.security_scheme(name, scheme)
    spec.components.schema("Problem", schema=response_schemas.ProblemSchema)
    for kind in kinds:
        spec.components.schema(kind.name, kind.schema)
    for name, header in headers.components().items():
        spec.components.header(name, header)
    for name, parameter in headers.parameters().items():
        spec.components.parameter(name, "header", parameter)
    for code in (problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED):
        kind = problems.KINDS[code]
        names = (*headers.EVERYWHERE, *headers.OF_STATUS.get(kind.status, ()))
        spec.components.response(kind.name, _problem([kind], headers.of(names)))
    for operation in listed:
        spec.path(operation.path, operations={operation.method: _describe(operation, cross_origin)})
    document: dict[str, Any] = spec.to_dict()
    return document


def _kinds(listed: Iterable[Operation]) -> list[problems.Kind]:
    """All that some operation, or none, may answer; in the order of their statuses."""
    codes = {code for operation in listed for code in _codes(operation)}
    codes |= {problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED}
    return sorted((problems.KINDS[code] for code in codes), key=lambda kind: (kind.status, kind.code))


def _codes(operation: Operation) -> tuple[str, ...]:
    unmet = (problems.PRECONDITION_FAILED,) if operation.conditional else ()
    return (*operation.problems, *unmet, problems.INTERNAL_ERROR)


def _about(kinds: Iterable[problems.Kind], *, cookies: bool, cross_origin: bool) -> str:
    rows = [f"| `{kind.code}` | {kind.status} | {kind.meaning} |\n" for kind in kinds]
    return ABOUT + "".join(rows) + WITH_COOKIES * cookies + WITH_CORS * cross_origin


def _schemes(*, cookies: bool, metrics_token: bool) -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer"}
    schemes: dict[str, Any] = {"bearer": bearer | {"bearerFormat": "JWT", "description": "An access token"}}
    if cookies:
        for name, cookie in (("access", ACCESS_COOKIE), ("refresh", REFRESH_COOKIE)):
            about = f"The {name} token; browsers send it by themselves"
            schemes[name] = {"type": "apiKey", "in": "cookie", "name": cookie, "description": about}
    if metrics_token:
        schemes["metrics"] = bearer | {"description": "`METRICS_TOKEN`"}
    return schemes


def _describe(operation: Operation, cross_origin: bool) -> dict[str, Any]:
    parameters = [headers.REQUEST_ID, *([headers.IF_NONE_MATCH] if operation.conditional else [])]
    found: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": parameters,
        "responses": _responses(operation, cross_origin=cross_origin),
    }
    if operation.request is not None:
        content: dict[str, Any] = {"schema": operation.request}
        if operation.examples:
            content["examples"] = dict(operation.examples)
        found["requestBody"] = {"required": True, "content": {JSON: content}}
    if operation.security:
        found["security"] = [dict(requirement) for requirement in operation.security]
    return found


def _responses(operation: Operation, *, cross_origin: bool) -> dict[str, Any]:
    def headers_of(status: int, *more: str) -> dict[str, Any]:
        sure = [*headers.EVERYWHERE, *operation.always, *more, *headers.OF_STATUS.get(status, ())]
        perhaps: list[str] = []
        if operation.counted:
            (perhaps if status in headers.PERHAPS_COUNTED else sure).extend(headers.COUNTED)
        if cross_origin:
            sure.append("Vary")
            perhaps.extend(headers.CROSS_ORIGIN if cors.covers(operation.path) else ())
        return headers.of(tuple(sure), tuple(perhaps))

    tagged = ("ETag",) if operation.conditional else ()
    success: dict[str, Any] = {
        "description": operation.done,
        "headers": headers_of(operation.status, *operation.headers, *tagged),
    }
    if operation.content:
        success["content"] = dict(operation.content)
    if operation.links:
        success["links"] = dict(operation.links)
    responses = {str(operation.status): success}
    if operation.conditional:
        found = headers_of(304, *operation.headers, *tagged)
        responses["304"] = {"description": "What you have is what is here", "headers": found}
    kinds = sorted((problems.KINDS[code] for code in _codes(operation)), key=lambda kind: kind.status)
    for status, group in groupby(kinds, key=lambda kind: int(kind.status)):
        more = tagged if status == 412 else ()
        responses[str(status)] = _problem(list(group), headers_of(status, *more), operation.members)
    return responses


def _problem(
    kinds: Sequence[problems.Kind],
    found: dict[str, Any],
    members: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    schemas = {kind.code: _kind_of(kind, members.get(kind.code, {})) for kind in kinds}
    schema = next(iter(schemas.values())) if len(kinds) == 1 else {"oneOf": list(schemas.values())}
    examples = {
        kind.code: {"summary": kind.code, "value": kind.example | dict(members.get(kind.code, {}))}
        for kind in kinds
    }
    return {
        "description": "\n\n".join(f"`{kind.code}`: {kind.meaning}" for kind in kinds),
        "headers": found,
        "content": {PROBLEM: {"schema": schema, "examples": examples}},
    }


def _kind_of(kind: problems.Kind, members: Mapping[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{kind.name}"}
    return {"allOf": [reference, {"type": "object", "required": list(members)}]} if members else reference


def _name(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Schema")
