"""One operation, and its entry in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any

from marshmallow import Schema

from otp_gateway.api import cors
from otp_gateway.api.problems import PROBLEM
from otp_gateway.api.token_transport import SecurityRequirement
from otp_gateway.openapi import headers, problems

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    ``always`` and ``headers`` are components of headers: on every reply, and only on the successful one.
    """

    path: str
    method: str = "get"
    id: str
    tag: str
    summary: str
    description: str
    done: str = "Done"
    status: int = 200
    content: Mapping[str, Any] = field(default_factory=dict)
    request: Schema | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()
    always: Sequence[str] = ()
    headers: Sequence[str] = ()
    links: Mapping[str, Any] = field(default_factory=dict)
    security: Sequence[SecurityRequirement] = ()
    counted: bool = False
    conditional: bool = False
    # Whether it takes an Idempotency-Key.
    keyed: bool = False
    # By code: members that its problem has only in this operation, as examples.
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of every error that the operation may answer."""
        unmet = (problems.PRECONDITION_FAILED,) if self.conditional else ()
        reused = (problems.KEY_REUSED,) if self.keyed else ()
        return (*self.problems, *unmet, *reused, problems.INTERNAL_ERROR)


def json_content(schema: type[Schema]) -> dict[str, Any]:
    """The content of a reply in JSON."""
    return {JSON: {"schema": schema}}


def describe_operation(operation: Operation, *, cross_origin: bool) -> dict[str, Any]:
    """The operation's entry. ``cross_origin``: pages of other origins may call."""
    parameters = [headers.REQUEST_ID]
    parameters += [headers.IF_NONE_MATCH] if operation.conditional else []
    parameters += [headers.IDEMPOTENCY_KEY] if operation.keyed else []
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
        responses["304"] = {"description": "Your version is the present one", "headers": found}
    kinds = sorted((problems.KINDS[code] for code in operation.codes), key=lambda kind: kind.status)
    for status, group in groupby(kinds, key=lambda kind: int(kind.status)):
        more = tagged if status == 412 else ()
        responses[str(status)] = problem_response(list(group), headers_of(status, *more), operation.members)
    return responses


def problem_response(
    kinds: Sequence[problems.Kind],
    found: dict[str, Any],
    members: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """A response with any of these problems. ``members``: as in ``Operation``."""
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
