"""The Flask application: connects the gateway's parts with HTTP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask

from otp_gateway import admin, cli, error_reports, log, pages
from otp_gateway.api import (
    client_address,
    cors,
    health,
    https,
    jwks,
    outcomes,
    problems,
    request_log,
    routes,
)
from otp_gateway.api.body import MAX_BODY
from otp_gateway.api.device_cookie import DeviceCookie
from otp_gateway.api.proxy_echo import ProxyEcho
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.api.token_transport import BodyTransport, CookieTransport
from otp_gateway.credit_watch import CreditWatch
from otp_gateway.delivery_watch import DeliveryWatch
from otp_gateway.gateway import Gateway
from otp_gateway.metrics import endpoint
from otp_gateway.metrics.gauges import Gauges
from otp_gateway.metrics.metrics import Metrics
from otp_gateway.metrics.traffic import TrafficGauges
from otp_gateway.openapi import document
from otp_gateway.pages import docs
from otp_gateway.provider_watch import ProviderWatch
from otp_gateway.senders import Sender
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.settings import Settings
from otp_gateway.store.client import RedisClient
from otp_gateway.store.memory import read_memory


class Application(Flask):
    """Flask without its checks for asynchronous functions, which it makes fifteen times for each request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself, because the app has no asynchronous function."""
        return func


def create_app(
    settings: Settings | None = None, *, redis: RedisClient | None = None, sender: Sender | None = None
) -> Flask:
    """Make the WSGI application. If no settings are given, they are read from the environment.

    ``redis`` and ``sender`` replace those of the settings. Raises ``SettingsError``.
    """
    settings = settings or Settings.load()
    log.configure(settings.log_level)
    report = error_reports.reporter(settings.sentry_dsn)
    metrics = Metrics()
    gateway = Gateway.build(settings, redis=redis, sender=sender, observer=metrics)
    gateway.prepare_redis()

    app = Application(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    # After-request functions run in reverse order. So the log line is written when the headers are complete.
    request_log.install(app)
    metrics.install(app)
    outcomes.install(app, gateway.records.recorder)
    problems.install(app, report)
    https.install(app, settings.trusted_proxies)
    cors.install(app, settings.cors_origins)
    limiter = RateLimiter(gateway.address_limits)
    limiter.install(app)
    identify = client_address.identifier(gateway.codes, settings.trusted_proxies)
    transport = _transport(gateway)
    routes.install(app, gateway, limiter=limiter, identify=identify, transport=transport)
    if settings.operators:
        admin.install(app, gateway, limiter=limiter, identify=identify)
    jwks.install(app, gateway.tokens)
    pages.install(app, settings)
    docs.install(app, settings, transport.description)
    document.install(app, settings, transport.description)
    health.install(app, gateway.service, ProxyEcho(gateway.codes, settings.trusted_proxies))
    traffic = TrafficGauges(gateway.records.usage, gateway.write_probe)
    endpoint.install(app, metrics, (_gauges(gateway), traffic), settings.metrics_token)
    if gateway.reports:
        # gunicorn's hook starts it in each worker. A command does not need it, and threads do not survive a
        # fork.
        app.extensions["provider_watch"] = _provider_watch(gateway, gateway.reports, metrics, report)
    app.extensions["send_slots"] = gateway.slots
    cli.install(app, lambda: gateway)
    return app


def _provider_watch(
    gateway: Gateway, reports: KavenegarReports, metrics: Metrics, report: Callable[[Exception], None]
) -> ProviderWatch:
    credit = CreditWatch(gateway.provider_account, gateway.settings.kavenegar_min_credit)
    looks = [credit.look]
    if gateway.records.samples:
        looks.append(DeliveryWatch(gateway.records.samples, reports, metrics).look)
    return ProviderWatch(looks, report)


def _gauges(gateway: Gateway) -> Gauges:
    return Gauges(
        gateway.settings,
        gateway.provider_account.last,
        gateway.write_probe,
        partial(read_memory, gateway.redis),
        gateway.records.gate.budget,
    )


def _transport(gateway: Gateway) -> BodyTransport | CookieTransport:
    cookies = gateway.settings.auth_cookies
    if not cookies:
        return BodyTransport()
    device = DeviceCookie(gateway.devices, routes.DEVICE_PATH)
    return CookieTransport(gateway.tokens, routes.TOKEN_PATH, device)
