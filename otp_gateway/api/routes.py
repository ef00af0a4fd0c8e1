"""The routes under /api/v1/usr: parse, call the service, dump."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Flask, Response, jsonify
from flask_limiter import Limiter

from otp_gateway.api import limits, replies, requests, schemas
from otp_gateway.api.delivery import Delivery
from otp_gateway.model import Channel, Window
from otp_gateway.phones import PhoneParser
from otp_gateway.service import OtpService

PREFIX = "/api/v1/usr"
TOKEN_PATH = f"{PREFIX}/token"


def install(
    app: Flask,
    *,
    service: OtpService,
    door: Limiter,
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
    send_schema = schemas.send_request(channels)
    verify_schema = schemas.verify_request(code_length)

    routes.before_request(identify)

    @routes.post("/otp")
    @door.limit(limits.notation(otp_ip_limits))
    def send_otp() -> Response:
        body = requests.body(send_schema)
        phone = requests.phone(phones, body)
        sent = service.request(phone, body["channel"], requests.caller())
        answer = {
            "message": "OTP sent successfully",
            "phone_number": phone.e164,
            # To the nearest: a new code shows its whole life.
            "expires_in": round(sent.expires_in / 1000),
            # Up: waiting that long is enough.
            "resend_in": -(-sent.resend_in // 1000),
        }
        return jsonify(replies.Sent().dump(answer))

    @routes.post("/otp/verify")
    @door.limit(limits.notation(otp_ip_limits))
    def verify_otp() -> Response:
        body = requests.body(verify_schema)
        delivery.guard()
        phone = requests.phone(phones, body)
        return delivery.give(service.verify(phone, body["code"], requests.caller()))

    @routes.post("/token/refresh")
    @door.limit(limits.notation(token_ip_limits))
    def refresh() -> Response:
        token = delivery.refresh_token()
        delivery.guard()
        return delivery.give(service.refresh(token, requests.caller()))

    @routes.post("/token/revoke")
    @door.limit(limits.notation(token_ip_limits))
    def revoke() -> Response:
        token = delivery.refresh_token()
        delivery.guard()
        service.revoke(token, requests.caller())
        return delivery.forget(Response(status=204))

    @routes.get("/me")
    def me() -> Response:
        user = service.user(delivery.access_token())
        return jsonify(replies.User().dump({"id": user.id, "phone_number": user.phone.e164}))

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(routes)
