"""The admin panel: the status of a code, and the actions that help."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from otp_gateway.admin.auth import PanelLogin
from otp_gateway.admin.rendering import PREFIX
from otp_gateway.admin.views import Views
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.gateway import Gateway

__all__ = ["install"]


def install(
    app: Flask, gateway: Gateway, password_hash: str, *, limiter: RateLimiter, identify: Callable[[], None]
) -> None:
    """Serve the panel under /admin."""
    app.secret_key = gateway.codes.panel_key
    app.config.update(
        SESSION_COOKIE_NAME="admin_session",
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        # Behind a proxy of ours there is TLS in front of it; make run has none.
        SESSION_COOKIE_SECURE=gateway.settings.trusted_proxies > 0,
    )
    views = Views(gateway, PanelLogin(gateway.admin_sessions, password_hash))
    app.register_blueprint(views.blueprint(identify, limiter))
