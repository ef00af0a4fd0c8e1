"""The probes of load balancers and orchestrators."""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, jsonify

from otp_gateway.api import context, response_schemas
from otp_gateway.api.problems import problem
from otp_gateway.api.proxy_echo import ProxyEcho
from otp_gateway.errors import GatewayError, StoreUnavailable
from otp_gateway.service import OtpService


def install(app: Flask, service: OtpService, arrivals: ProxyEcho) -> None:
    """Serve /healthz (the process answers) and /readyz (it can do its work)."""

    @app.get("/healthz")
    def healthz() -> Response:
        arrival = arrivals.report()
        response = jsonify(
            response_schemas.HealthySchema().dump({"status": "ok"})
            | ({"arrival": arrival} if arrival else {})
        )
        # A cache would answer for a process that has ended, or show the echo of one request to another
        # caller.
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/readyz")
    def readyz() -> Response:
        parts = service.readiness()
        failed = {name: error for name, error in parts.items() if error}
        states = {name: error.code if error else "ok" for name, error in parts.items()}
        if failed:
            reasons = {name: _reason(error) for name, error in failed.items()}
            return _unready(states, reasons, next(iter(failed.values())))
        return jsonify(response_schemas.ReadySchema().dump({"status": "ready", "parts": states}))


def _reason(error: GatewayError) -> str:
    """The reason as the log has it, or the code of an error without a reason."""
    return error.reason if isinstance(error, StoreUnavailable) else error.code


def _unready(states: dict[str, str], reasons: dict[str, str], error: GatewayError) -> Response:
    context.current().note(reason=reasons.get("redis"))
    response = problem(
        HTTPStatus.SERVICE_UNAVAILABLE, error.code, error.detail, parts=states, reasons=reasons
    )
    response.headers["Retry-After"] = "5"
    return response
