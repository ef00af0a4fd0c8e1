"""The admin panel: the status of codes, and the actions with which operators help users."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Flask
from werkzeug.exceptions import HTTPException

from otp_gateway.admin import language
from otp_gateway.admin.actions import Actions
from otp_gateway.admin.activity import Activity
from otp_gateway.admin.codes import Codes
from otp_gateway.admin.entry import Entrance
from otp_gateway.admin.pauses import PausePages
from otp_gateway.admin.phone import Phone
from otp_gateway.admin.rendering import PREFIX, mishap, names, page, protect
from otp_gateway.admin.traffic import Traffic
from otp_gateway.admin.usage import Usage
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.errors import RateLimited, StoreUnavailable
from otp_gateway.gateway import Gateway

__all__ = ["install"]


def install(app: Flask, gateway: Gateway, *, limiter: RateLimiter, identify: Callable[[], None]) -> None:
    """Serve the panel under /admin. ``identify`` puts the client into the request's context."""
    app.secret_key = gateway.codes.panel_key
    app.config.update(
        SESSION_COOKIE_NAME="admin_session",
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        # If there is a proxy, it adds TLS. With `make run`, there is no TLS.
        SESSION_COOKIE_SECURE=gateway.settings.trusted_proxies > 0,
    )
    panel = Blueprint(
        "admin", __name__, url_prefix=PREFIX, static_folder="static", template_folder="templates"
    )
    entrance = Entrance(gateway, limiter)
    for part in (
        entrance,
        Codes(gateway),
        Phone(gateway),
        Actions(gateway),
        PausePages(gateway),
        Traffic(gateway),
        Usage(gateway),
        Activity(gateway),
    ):
        for route in part.routes():
            panel.add_url_rule(route.rule, route.endpoint, route.view, methods=[route.method])
    panel.before_request(identify)
    panel.before_request(language.choose)
    panel.before_request(entrance.guard)
    panel.register_error_handler(StoreUnavailable, lambda _: page("unavailable.html", status=503))
    panel.register_error_handler(RateLimited, entrance.too_often)
    panel.register_error_handler(HTTPException, mishap)
    panel.after_request(protect)
    panel.context_processor(lambda: names(gateway.settings.panel_zone))
    app.register_blueprint(panel)
