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
    """All of them, as the gateway is configured."""
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
        "national": {"summary": "As at home", "value": {"phone_number": "09123456789"}},
        "persian": {"summary": "In Persian digits", "value": {"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}},
    }
    call = {"call": {"summary": "By a call", "value": {"phone_number": "+989123456789", "channel": "call"}}}
    return Operation(
        path=f"{PREFIX}/otp",
        method="post",
        id="sendOtp",
        tag="Login",
        summary="Send a code",
        description="Texts a code to the phone. Asked again, it repeats the live code while at least "
        "half of its life is left and a try remains; after that a new code takes its place.",
        request=request_schemas.send_request_schema(channels),
        examples=spellings | (call if "call" in channels else {}),
        content=json_content(response_schemas.SentSchema),
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
        description="A right code is good once. A phone that has no code is answered like one whose code "
        "is another." + transport.guard_sentence,
        request=request_schemas.verify_request_schema(code_length),
        examples={
            "code": {"summary": "As texted", "value": {"phone_number": "+989123456789", "code": sample}}
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
            "user": {"operationId": "getUser", "description": "Who it is, by the access token"},
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
        summary="Spend a refresh token for the next pair",
        description="A refresh token is good once. For ten seconds it gives the same pair again, for a "
        "client that lost the reply; after that a spent token ends its session." + transport.guard_sentence,
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
        description="Whatever has become of the token, and be it none of ours: its session is over. An "
        "access token that is out lives on until it expires." + transport.guard_sentence,
        request=transport.revoke_request,
        examples=transport.token_request_examples,
        status=204,
        done="The session is over, if there was one",
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
        description="By the access token alone: nobody asks Redis whether its session has ended."
        + transport.user_guard_sentence,
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
        description="For backends that check access tokens. Ask again for a `kid` that you do not know. "
        "Empty where tokens are signed with a shared secret.",
        content=json_content(response_schemas.KeySetSchema),
        done="The keys",
        headers=("Cacheable",),
        conditional=True,
    )
