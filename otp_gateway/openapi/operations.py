"""The operations of clients and backends: log in, use a session, check its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema

from otp_gateway import errors
from otp_gateway.api import request_schemas, response_schemas
from otp_gateway.api.routes import PREFIX
from otp_gateway.api.token_transport import TransportDescription
from otp_gateway.openapi import problems
from otp_gateway.openapi.operation import Operation, json_content
from otp_gateway.settings import Settings


def operations(settings: Settings, transport: TransportDescription) -> list[Operation]:
    """All these operations, as the gateway is configured."""
    return [
        _send_otp(settings.channels),
        _verify_otp(settings.otp_length, transport),
        _refresh_tokens(transport),
        _revoke_session(transport),
        _get_user(transport),
        _get_keys(),
    ]


def _send_otp(channels: Sequence[str]) -> Operation:
    spellings = {
        "international": {"summary": "In E.164", "value": {"phone_number": "+989123456789"}},
        "national": {"summary": "In national format", "value": {"phone_number": "09123456789"}},
        "persian": {"summary": "In Persian digits", "value": {"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}},
    }
    call = {"call": {"summary": "With a call", "value": {"phone_number": "+989123456789", "channel": "call"}}}
    return Operation(
        path=f"{PREFIX}/otp",
        method="post",
        id="sendOtp",
        tag="Login",
        summary="Send a code",
        description="Sends a code to the phone. A repeated request sends the active code again while at "
        "least half of its lifetime is left and a try remains. Later a new code replaces it.",
        request=request_schemas.send_request_schema(channels),
        examples=spellings | (call if "call" in channels else {}),
        content=json_content(response_schemas.SentSchema),
        done="The code was sent",
        links={
            "verify": {
                "operationId": "verifyOtp",
                "description": "With the code that the user has received",
                "requestBody": {"phone_number": "$response.body#/phone_number"},
            }
        },
        problems=(*problems.BODY, *problems.PHONE, *problems.SEND, *problems.LIMITER),
        always=("NoStore",),
        counted=True,
        keyed=True,
    )


def _verify_otp(code_length: int, transport: TransportDescription) -> Operation:
    sample = "1234567890"[:code_length]
    return Operation(
        path=f"{PREFIX}/otp/verify",
        method="post",
        id="verifyOtp",
        tag="Login",
        summary="Exchange a code for a session",
        description="A right code can be used once. The answers for a phone without a code are the same as "
        "for a wrong code." + transport.guard_sentence,
        request=request_schemas.verify_request_schema(code_length),
        examples={
            "code": {
                "summary": "As in the message",
                "value": {"phone_number": "+989123456789", "code": sample},
            }
        },
        problems=(
            *problems.BODY,
            *problems.PHONE,
            errors.InvalidCode.code,
            *transport.guard_errors,
            *problems.LIMITER,
        ),
        always=("NoStore",),
        counted=True,
        keyed=True,
        **_session_reply(transport, transport.login_schema),
    )


def _session_reply(transport: TransportDescription, schema: type[Schema]) -> dict[str, Any]:
    """The fields that a login and a refresh share: the reply, and links to the operations that can follow."""
    return {
        "content": json_content(schema),
        "done": transport.session_text,
        "headers": transport.token_headers,
        "links": {
            "user": {"operationId": "getUser", "description": "The user of the access token"},
            "refresh": {
                "operationId": "refreshTokens",
                "description": "The next pair, before or after the access token has expired",
                **transport.token_link,
            },
            "revoke": {
                "operationId": "revokeSession",
                "description": "The end of the session",
                **transport.token_link,
            },
        },
    }


def _refresh_tokens(transport: TransportDescription) -> Operation:
    return Operation(
        path=f"{PREFIX}/token/refresh",
        method="post",
        id="refreshTokens",
        tag="Session",
        summary="Exchange a refresh token for the next pair",
        description="A refresh token can be used once. For ten seconds it gives the same pair again, for a "
        "client that lost the reply. Later, a used token ends its session." + transport.guard_sentence,
        request=transport.token_request,
        examples=transport.token_request_examples,
        problems=(
            *problems.BODY,
            errors.InvalidToken.code,
            *transport.guard_errors,
            *problems.LIMITER,
        ),
        always=("NoStore",),
        counted=True,
        keyed=True,
        security=transport.refresh_security,
        **_session_reply(transport, transport.session_schema),
    )


def _revoke_session(transport: TransportDescription) -> Operation:
    return Operation(
        path=f"{PREFIX}/token/revoke",
        method="post",
        id="revokeSession",
        tag="Session",
        summary="End the session of a refresh token",
        description="Ends the session of any token, also of a used or expired one. An unknown token gets the "
        "same answer. An access token stays valid until it expires." + transport.guard_sentence,
        request=transport.revoke_request,
        examples=transport.token_request_examples,
        status=204,
        done="The session has ended, if there was one",
        headers=transport.token_headers,
        problems=(*problems.BODY, *transport.guard_errors, *problems.LIMITER),
        always=("NoStore",),
        counted=True,
        security=transport.revoke_security,
    )


def _get_user(transport: TransportDescription) -> Operation:
    return Operation(
        path=f"{PREFIX}/me",
        id="getUser",
        tag="Session",
        summary="Who is signed in",
        description="The gateway reads only the access token. It does not check in Redis whether the session "
        "has ended." + transport.user_guard_sentence,
        content=json_content(response_schemas.UserSchema),
        done="The user",
        problems=(errors.InvalidToken.code, *transport.guard_errors),
        always=("NoStore",),
        security=transport.user_security,
    )


def _get_keys() -> Operation:
    return Operation(
        path="/.well-known/jwks.json",
        id="getKeys",
        tag="Session",
        summary="The public keys of tokens",
        description="For backends that check access tokens. Request the keys again for a `kid` that you do "
        "not know. The list is empty if tokens are signed with a shared secret.",
        content=json_content(response_schemas.KeySetSchema),
        done="The keys",
        headers=("Cacheable",),
        conditional=True,
    )
