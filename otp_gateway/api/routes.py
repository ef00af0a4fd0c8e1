"""The routes under /api/v1/usr: parse, call the service, dump."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from otp_gateway.api import clients, journal, limits, schemas
from otp_gateway.codes import Codes
from otp_gateway.errors import InvalidRequest
from otp_gateway.model import Caller, Channel, PhoneNumber, Window
from otp_gateway.phones import PhoneParser
from otp_gateway.service import OtpService
from otp_gateway.store import RedisStore
from otp_gateway.tokens import TokenPair

PREFIX = "/api/v1/usr"


def install(
    app: Flask,
    *,
    service: OtpService,
    store: RedisStore,
    codes: Codes,
    phones: PhoneParser,
    channels: Sequence[Channel],
    code_length: int,
    ip_limits: Sequence[Window],
    trusted_proxies: int,
) -> None:
    """Serve the OTP routes from the app."""
    routes = Blueprint("usr", __name__, url_prefix=PREFIX)
    door = limits.limiter(store, {"usr.send_otp": ip_limits, "usr.verify_otp": ip_limits})
    send_schema = schemas.send_request(channels)
    verify_schema = schemas.verify_request(code_length)

    @routes.before_request
    def identify() -> None:
        networks = clients.networks(request, trusted_proxies)
        g.networks = [codes.client(network) for network in networks]
        journal.note(client=g.networks[-1])

    @routes.post("/otp")
    @door.limit(limits.notation(ip_limits))
    def send_otp() -> Response:
        body = _body(send_schema)
        phone = _phone(phones, body)
        sent = service.request(phone, body["channel"], _caller())
        return jsonify(
            message="OTP sent successfully",
            phone_number=phone.e164,
            expires_in=_left(sent.expires_in),
            resend_in=-(-sent.resend_in // 1000),
        )

    @routes.post("/otp/verify")
    @door.limit(limits.notation(ip_limits))
    def verify_otp() -> Response:
        body = _body(verify_schema)
        return _tokens(service.verify(_phone(phones, body), body["code"], _caller()))

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(routes)
    door.init_app(app)


def _body(schema: Schema) -> Any:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json")
    try:
        # Not get_json(): it would take UTF-16, and pass on what a deep nesting or a huge number raises.
        body = json.loads(request.get_data(cache=False).decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object")
    try:
        return schema.load(body)
    except ValidationError as error:
        raise InvalidRequest("The request has missing or wrong fields", error.messages_dict) from None


def _phone(phones: PhoneParser, body: dict[str, Any]) -> PhoneNumber:
    phone = phones.parse(body["phone_number"])
    journal.note(phone=phone.masked)
    return phone


def _caller() -> Caller:
    # The budget's client is the network that a limit counts as one client: an IPv4 address or a /64.
    return Caller(client=g.networks[-1], clock=g.admission.clock)


def _left(milliseconds: int) -> int:
    """Seconds of life left, to the nearest: a new code shows its whole life."""
    return round(milliseconds / 1000)


def _tokens(pair: TokenPair) -> Response:
    return jsonify(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        token_type="Bearer",  # noqa: S106  # a scheme, no password
        expires_in=pair.expires_in,
        refresh_expires_in=pair.refresh_expires_in,
        user={"id": pair.user_id, "phone_number": pair.phone.e164},
    )
