"""The admin panel: what became of a code, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_limiter import Limiter

from otp_gateway.admin.auth import PanelLogin
from otp_gateway.admin.recorder import Recorder
from otp_gateway.admin.views import LOGIN_LIMIT, PREFIX, Delivery, Views
from otp_gateway.codes import Codes
from otp_gateway.phones import PhoneParser
from otp_gateway.senders import Sender
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.settings import Settings
from otp_gateway.store.panel import PanelStore
from otp_gateway.store.provider_account import AccountStore
from otp_gateway.store.usage import UsageStore

__all__ = ["LOGIN_LIMIT", "install"]


def install(
    app: Flask,
    *,
    settings: Settings,
    redis: Any,
    reports: KavenegarReports | None,
    account: AccountStore,
    codes: Codes,
    phones: PhoneParser,
    sender: Sender,
    identify: Callable[[], None],
    limiter: Limiter,
) -> None:
    """Serve the panel under /admin, and count what it shows.

    ``redis``: a redis-py client of any kind; ``reports``: the provider's, where messages go through it.
    """
    if settings.admin_password_hash is None:
        raise ValueError("the panel has no password")
    app.secret_key = codes.panel_key
    app.config.update(
        SESSION_COOKIE_NAME="admin_session",
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        # Behind a proxy of ours there is TLS in front of it; make run has none.
        SESSION_COOKIE_SECURE=settings.trusted_proxies > 0,
    )
    usage = UsageStore(redis)
    Recorder(usage, getattr(sender, "take_cost", lambda: 0)).install(app)
    views = Views(
        panel_login=PanelLogin(redis, settings.admin_password_hash),
        phones=phones,
        panel=PanelStore(redis, codes, settings.policy),
        usage=usage,
        account=account,
        policy=settings.policy,
        delivery=_delivery(reports, settings, codes),
        reveal=settings.admin_reveal_codes,
    )
    app.register_blueprint(views.blueprint(identify, limiter))


def _delivery(reports: KavenegarReports | None, settings: Settings, codes: Codes) -> Delivery | None:
    """The provider's word on sends, by their request ids; a lookup has no localid to ask by."""
    if reports is None or settings.kavenegar_template:
        return None
    return lambda requests: reports.deliveries_of(requests, codes)
