"""The routes under /api/v1/usr: parse, call the service, dump."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Flask, Response, jsonify
from flask_limiter import Limiter

from otp_gateway.api import body, rate_limit, request_schemas, response_schemas
from otp_gateway.api.token_transport import Delivery
from otp_gateway.model import Channel, Window
from otp_gateway.phones import PhoneParser
from otp_gateway.service import OtpService

PREFIX = "/api/v1/usr"
TOKEN_PATH = f"{PREFIX}/token"


def install(
    app: Flask,
    *,
    service: OtpService,
    limiter: Limiter,
    identify: Callable[[], None],
    phones: PhoneParser,
    delivery: Delivery,
    channels: Sequence[Channel],
    code_length: int,
    otp_ip_limits: Sequence[Window],
    token_ip_limits: Sequence[Window],
) -> None:
    """Serve the API's routes from the app."""
    routes = Blueprint("usr", __name__, url_prefix=PREFIX)
    send_schema = request_schemas.send_request(channels)
    verify_schema = request_schemas.verify_request(code_length)

    routes.before_request(identify)

    @routes.post("/otp")
    @limiter.limit(rate_limit.notation(otp_ip_limits))
    def send_otp() -> Response:
        fields = body.load(send_schema)
        phone = body.phone(phones, fields)
        sent = service.request(phone, fields["channel"], body.caller())
        answer = {
            "message": "OTP sent successfully",
            "phone_number": phone.e164,
            # To the nearest: a new code shows its whole life.
            "expires_in": round(sent.expires_in / 1000),
            # Up: waiting that long is enough.
            "resend_in": -(-sent.resend_in // 1000),
        }
        return jsonify(response_schemas.Sent().dump(answer))

    @routes.post("/otp/verify")
    @limiter.limit(rate_limit.notation(otp_ip_limits))
    def verify_otp() -> Response:
        fields = body.load(verify_schema)
        delivery.guard()
        phone = body.phone(phones, fields)
        return delivery.give(service.verify(phone, fields["code"], body.caller()))

    @routes.post("/token/refresh")
    @limiter.limit(rate_limit.notation(token_ip_limits))
    def refresh() -> Response:
        token = delivery.refresh_token()
        delivery.guard()
        return delivery.give(service.refresh(token, body.caller()))

    @routes.post("/token/revoke")
    @limiter.limit(rate_limit.notation(token_ip_limits))
    def revoke() -> Response:
        token = delivery.refresh_token()
        delivery.guard()
        service.revoke(token, body.caller())
        return delivery.forget(Response(status=204))

    @routes.get("/me")
    def me() -> Response:
        user = service.user(delivery.access_token())
        return jsonify(response_schemas.User().dump({"id": user.id, "phone_number": user.phone.e164}))

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(routes)
