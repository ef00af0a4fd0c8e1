"""What the interface offers: every operation, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

from otp_gateway import errors
from otp_gateway.api import request_schemas, response_schemas
from otp_gateway.api.routes import PREFIX
from otp_gateway.openapi import problems

DOCUMENT = "/openapi.json"
JSON = "application/json"
Security = Mapping[str, list[str]]
TAGS = {
    "Login": "From a phone number to a session: send a code, have the person type it in, exchange it.",
    "Session": "What a client does with its tokens, and how a backend checks them.",
    "Operations": "For load balancers, monitoring and tools.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. ``headers``, by component: on every reply, and on the good one alone."""

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
    security: Sequence[Security] = ()
    counted: bool = False
    conditional: bool = False
    # By code: members that its problem has in this operation alone, as examples.
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def operations(
    *, channels: Sequence[str], code_length: int, cookies: bool, metrics_token: bool
) -> list[Operation]:
    """All of them, as the gateway is configured."""
    return [
        *_login(channels, code_length, cookies=cookies),
        *_session(cookies=cookies),
        *_probes(metrics_token=metrics_token),
    ]


def _json(schema: type[Schema]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _pair(*, cookies: bool) -> dict[str, Any]:
    """What a login and a refresh have in common: the reply, and where one goes from there."""
    return {
        "content": _json(response_schemas.SessionSchema if cookies else response_schemas.TokenPairSchema),
        "done": "The session; its tokens are in the cookies" if cookies else "The session and its tokens",
        "headers": ("Set-Cookie",) if cookies else (),
        "links": {
            "user": {"operationId": "getUser", "description": "Who it is, by the access token"},
            "refresh": {
                "operationId": "refreshTokens",
                "description": "The next pair, before or after the access token has expired",
                **_with_token(cookies=cookies),
            },
            "revoke": {
                "operationId": "revokeSession",
                "description": "The end of the session",
                **_with_token(cookies=cookies),
            },
        },
    }


def _with_token(*, cookies: bool) -> dict[str, Any]:
    return {} if cookies else {"requestBody": {"refresh_token": "$response.body#/refresh_token"}}


def _origin(*, cookies: bool) -> tuple[str, ...]:
    return (errors.CrossOrigin.code,) if cookies else ()


def _login(channels: Sequence[str], code_length: int, *, cookies: bool) -> list[Operation]:
    sample = "1234567890"[:code_length]
    spellings = {
        "international": {"summary": "In E.164", "value": {"phone_number": "+989123456789"}},
        "national": {"summary": "As at home", "value": {"phone_number": "09123456789"}},
        "persian": {"summary": "In Persian digits", "value": {"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}},
    }
    call = {"call": {"summary": "By a call", "value": {"phone_number": "+989123456789", "channel": "call"}}}
    return [
        Operation(
            path=f"{PREFIX}/otp",
            method="post",
            id="sendOtp",
            tag="Login",
            summary="Send a code",
            description="Texts a code to the phone. Asked again, it repeats the live code while at least "
            "half of its life is left and a try remains; after that a new code takes its place.",
            request=request_schemas.send_request_schema(channels),
            examples=spellings | (call if "call" in channels else {}),
            content=_json(response_schemas.SentSchema),
            done="The code is on its way",
            links={
                "verify": {
                    "operationId": "verifyOtp",
                    "description": "With the code that the person has received",
                    "requestBody": {"phone_number": "$response.body#/phone_number"},
                }
            },
            problems=(*problems.BODY, *problems.PHONE, *problems.SEND, *problems.LIMITER),
            always=("NoStore",),
            counted=True,
        ),
        Operation(
            path=f"{PREFIX}/otp/verify",
            method="post",
            id="verifyOtp",
            tag="Login",
            summary="Exchange a code for a session",
            description="A right code is good once. A phone that has no code is answered like one whose code "
            "is another." + _own_pages(cookies=cookies),
            request=request_schemas.verify_request_schema(code_length),
            examples={
                "code": {"summary": "As texted", "value": {"phone_number": "+989123456789", "code": sample}}
            },
            problems=(
                *problems.BODY,
                *problems.PHONE,
                errors.InvalidCode.code,
                *_origin(cookies=cookies),
                *problems.LIMITER,
            ),
            always=("NoStore",),
            counted=True,
            **_pair(cookies=cookies),
        ),
    ]


def _own_pages(*, cookies: bool) -> str:
    return " Only pages of this origin are answered." if cookies else ""


def _session(*, cookies: bool) -> list[Operation]:
    # With cookies nothing stands in the body; that it is JSON keeps the pages of other sites out.
    request = request_schemas.empty_request_schema() if cookies else request_schemas.token_request_schema()
    examples = {"cookies": {"summary": "The token is in the cookie", "value": {}}} if cookies else {}
    presented: Security = {"access": [], "refresh": []}
    return [
        Operation(
            path=f"{PREFIX}/token/refresh",
            method="post",
            id="refreshTokens",
            tag="Session",
            summary="Spend a refresh token for the next pair",
            description="A refresh token is good once. For ten seconds it gives the same pair again, for a "
            "client that lost the reply; after that a spent token ends its session."
            + _own_pages(cookies=cookies),
            request=request,
            examples=examples,
            problems=(
                *problems.BODY,
                errors.InvalidToken.code,
                *_origin(cookies=cookies),
                *problems.LIMITER,
            ),
            always=("NoStore",),
            counted=True,
            security=[presented] if cookies else (),
            **_pair(cookies=cookies),
        ),
        Operation(
            path=f"{PREFIX}/token/revoke",
            method="post",
            id="revokeSession",
            tag="Session",
            summary="End the session of a refresh token",
            description="Whatever has become of the token, and be it none of ours: its session is over. An "
            "access token that is out lives on until it expires." + _own_pages(cookies=cookies),
            request=request,
            examples=examples,
            status=204,
            done="The session is over, if there was one",
            headers=("Set-Cookie",) if cookies else (),
            problems=(*problems.BODY, *_origin(cookies=cookies), *problems.LIMITER),
            always=("NoStore",),
            counted=True,
            security=[presented, {}] if cookies else (),
        ),
        Operation(
            path=f"{PREFIX}/me",
            id="getUser",
            tag="Session",
            summary="Who is signed in",
            description="By the access token alone: nobody asks Redis whether its session has ended."
            + (" With the cookie, only pages of this origin are answered." if cookies else ""),
            content=_json(response_schemas.UserSchema),
            done="The user",
            problems=(errors.InvalidToken.code, *_origin(cookies=cookies)),
            always=("NoStore",),
            security=[{"bearer": []}, {"access": []}] if cookies else [{"bearer": []}],
        ),
        Operation(
            path="/.well-known/jwks.json",
            id="getKeys",
            tag="Session",
            summary="The public keys of tokens",
            description="For backends that check access tokens. Ask again for a `kid` that you do not know. "
            "Empty where tokens are signed with a shared secret.",
            content=_json(response_schemas.KeySetSchema),
            done="The keys",
            headers=("Cacheable",),
            conditional=True,
        ),
    ]


def _probes(*, metrics_token: bool) -> list[Operation]:
    return [
        Operation(
            path="/healthz",
            id="getHealth",
            tag="Operations",
            summary="Whether the process answers",
            description="Asks nobody else.",
            content=_json(response_schemas.HealthySchema),
            done="It does",
            headers=("NoStore",),
        ),
        Operation(
            path="/readyz",
            id="getReadiness",
            tag="Operations",
            summary="Whether the gateway can do its work",
            description="Redis answers, and the SMS service is configured.",
            content=_json(response_schemas.ReadySchema),
            done="It can",
            problems=(errors.StoreUnavailable.code, errors.SmsNotConfigured.code),
            members={
                errors.StoreUnavailable.code: {"parts": {"redis": errors.StoreUnavailable.code, "sms": "ok"}},
                errors.SmsNotConfigured.code: {"parts": {"redis": "ok", "sms": errors.SmsNotConfigured.code}},
            },
        ),
        Operation(
            path="/metrics",
            id="getMetrics",
            tag="Operations",
            summary="Counters and timings for Prometheus",
            description="Summed over the workers."
            if metrics_token
            else "Summed over the workers. Without `METRICS_TOKEN` only this machine itself may ask, and not "
            "by way of a proxy.",
            content={
                kind: {"schema": {"type": "string"}}
                for kind in ("text/plain", "application/openmetrics-text")
            },
            done="The metrics, in the format that `Accept` prefers",
            headers=("NoStore",),
            problems=(errors.InvalidToken.code,) if metrics_token else (problems.FORBIDDEN,),
            security=[{"metrics": []}] if metrics_token else (),
        ),
        Operation(
            path=DOCUMENT,
            id="getOpenapi",
            tag="Operations",
            summary="This document",
            description="The interface as this gateway is configured.",
            content={JSON: {"schema": {"type": "object"}}},
            done="OpenAPI 3.1",
            headers=("Revalidate",),
            conditional=True,
        ),
    ]
