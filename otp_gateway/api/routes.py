"""The routes under /api/v1/usr. Each parses its request, calls the service, and makes the reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from flask import Blueprint, Flask, Response, jsonify, request

from otp_gateway.api import body, context, idempotency, request_schemas, response_schemas
from otp_gateway.api.outcomes import REFRESHES, SENDS, TEST, VERIFIES
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.api.token_transport import TokenTransport
from otp_gateway.gateway import Gateway
from otp_gateway.model import Caller, Language, SendRequest

PREFIX = "/api/v1/usr"
LANGUAGES: tuple[Language, ...] = get_args(Language)
TOKEN_PATH = f"{PREFIX}/token"
# The path of the two endpoints that read a device token.
DEVICE_PATH = f"{PREFIX}/otp"


def install(
    app: Flask,
    gateway: Gateway,
    *,
    limiter: RateLimiter,
    identify: Callable[[], None],
    transport: TokenTransport,
) -> None:
    """Serve the API's routes from the app."""
    routes = Blueprint("usr", __name__, url_prefix=PREFIX)
    settings, service, phones = gateway.settings, gateway.service, gateway.phones
    send_schema = request_schemas.send_request_schema(settings.channels)
    sent_schema, user_schema = response_schemas.SentSchema(), response_schemas.UserSchema()
    verify_schema = request_schemas.verify_request_schema(settings.otp_length)
    about = transport.description

    routes.before_request(identify)

    @routes.post("/otp")
    @SENDS.of_route
    @limiter.limit(settings.otp_ip_limits)
    def send_otp(caller: Caller) -> Response:
        fields = body.load(send_schema)
        phone = body.phone(phones, fields)
        send = SendRequest(
            phone,
            fields["channel"],
            challenge=fields["challenge"],
            device_token=transport.device_token(fields),
            language=fields["lang"],
            accepted_language=_accepted_language(),
            android=fields["client"] is not None,
        )
        sent = service.request(send, idempotency.keyed(caller))
        context.current().note(
            gate=sent.gate, backend=sent.backend or None, test=sent.backend == TEST or None
        )
        answer = {
            "message": "OTP sent successfully",
            "phone_number": phone.e164,
            # It is rounded to the nearest second, so that a new code has its whole lifetime in the reply.
            "expires_in": round(sent.expires_in / 1000),
            # It is rounded up, so that it is enough to wait for so long.
            "resend_in": -(-sent.resend_in // 1000),
        }
        return jsonify(sent_schema.dump(answer))

    @routes.post("/otp/verify")
    @VERIFIES.of_route
    @limiter.limit(settings.otp_ip_limits)
    def verify_otp(caller: Caller) -> Response:
        fields = body.load(verify_schema)
        transport.guard()
        phone = body.phone(phones, fields)
        device_token = transport.device_token(fields)
        pair = service.verify(phone, fields["code"], idempotency.keyed(caller), device_token)
        context.current().note(test=pair.test or None)
        return transport.give(pair)

    @routes.post("/token/refresh")
    @REFRESHES.of_route
    @limiter.limit(settings.token_ip_limits)
    def refresh(caller: Caller) -> Response:
        token = transport.refresh_token(body.load(about.token_request))
        transport.guard()
        return transport.give(service.refresh(token, idempotency.keyed(caller)))

    @routes.post("/token/revoke")
    @limiter.limit(settings.token_ip_limits)
    def revoke(caller: Caller) -> Response:
        fields = body.load(about.revoke_request)
        token = transport.refresh_token(fields)
        transport.guard()
        service.revoke(token, caller)
        return transport.forget(Response(status=204), fields)

    @routes.get("/me")
    def me() -> Response:
        user = service.user(transport.access_token())
        return jsonify(user_schema.dump({"id": user.id, "phone_number": user.phone.e164}))

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(routes)


def _accepted_language() -> Language | None:
    """The language of Accept-Language for which there is a text."""
    found: Language | None = request.accept_languages.best_match(LANGUAGES)  # type: ignore[assignment]  # one of these
    return found
