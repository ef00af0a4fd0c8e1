"""Composition root: the one place that knows everyone."""

from __future__ import annotations

from flask import Flask

from otp_gateway import admin, cli, credit_watch, error_reports, log, pages
from otp_gateway.api import client_address, cors, health, jwks, problems, rate_limit, request_log, routes
from otp_gateway.api.body import MAX_BODY
from otp_gateway.api.proxy_echo import Arrivals
from otp_gateway.api.token_transport import InBody, InCookies
from otp_gateway.codes import Codes
from otp_gateway.errors import StoreUnavailable
from otp_gateway.metrics import endpoint
from otp_gateway.metrics.gauges import Facts
from otp_gateway.metrics.metrics import Metrics
from otp_gateway.openapi import document, operations
from otp_gateway.pages import docs
from otp_gateway.phones import PhoneParser
from otp_gateway.senders import Sender, sender_for
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.service import OtpService
from otp_gateway.settings import Settings
from otp_gateway.store import RedisStore, connect
from otp_gateway.store.connect import RedisClient
from otp_gateway.store.provider_account import AccountStore
from otp_gateway.tokens import Tokens


def create_app(
    settings: Settings | None = None, *, redis: RedisClient | None = None, sender: Sender | None = None
) -> Flask:
    """The WSGI application; settings come from the environment unless they are given.

    ``redis`` and ``sender`` replace what the settings name. Raises ``SettingsError``.
    """
    settings = settings or Settings.load()
    log.configure(settings.log_level)
    report = error_reports.reporter(settings.sentry_dsn)
    metrics = Metrics()

    codes, *former = (
        Codes(secret, settings.otp_length) for secret in (settings.secret_key, *settings.secret_key_fallbacks)
    )
    client = redis or connect(settings.redis_url)
    store = RedisStore(client, codes, settings.policy, former, metrics)
    try:
        store.load()
    except StoreUnavailable:
        # It may come later: until then requests are answered 503, and the scripts load themselves.
        log.get_logger(__name__).warning("Redis does not answer yet")
    tokens = Tokens.from_settings(settings)
    used_sender = sender or sender_for(settings, metrics)
    reports = KavenegarReports.from_settings(settings, metrics)
    account = AccountStore(client, reports.account if reports else None)
    service = OtpService(store=store, sender=used_sender, codes=codes, tokens=tokens)

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    # After-request functions run last to first: the journal writes its line when the headers stand.
    request_log.install(app)
    metrics.install(app)
    problems.install(app, report)
    cors.install(app, settings.cors_origins)
    rate_limit.install(app)
    identify = client_address.identifier(codes, settings.trusted_proxies)
    phones = PhoneParser(settings.otp_regions)
    limiter = rate_limit.limiter(
        store,
        {
            "usr.send_otp": settings.otp_ip_limits,
            "usr.verify_otp": settings.otp_ip_limits,
            "usr.refresh": settings.token_ip_limits,
            "usr.revoke": settings.token_ip_limits,
            "admin.log_in": admin.LOGIN_LIMIT,
        },
    )
    routes.install(
        app,
        service=service,
        limiter=limiter,
        identify=identify,
        phones=phones,
        delivery=InCookies(tokens, routes.TOKEN_PATH) if settings.auth_cookies else InBody(),
        channels=settings.channels,
        code_length=settings.otp_length,
        otp_ip_limits=settings.otp_ip_limits,
        token_ip_limits=settings.token_ip_limits,
    )
    if settings.admin_password_hash:
        admin.install(
            app,
            settings=settings,
            redis=client,
            reports=reports,
            account=account,
            codes=codes,
            phones=phones,
            sender=used_sender,
            identify=identify,
            limiter=limiter,
        )
    limiter.init_app(app)
    jwks.install(app, tokens)
    pages.install(
        app,
        api=routes.PREFIX,
        delivery="cookies" if settings.auth_cookies else "body",
        channels=settings.channels,
        code_length=settings.otp_length,
        redirects=settings.otp_login_redirect,
    )
    docs.install(app, document=operations.DOCUMENT)
    document.install(
        app,
        channels=settings.channels,
        code_length=settings.otp_length,
        cookies=settings.auth_cookies,
        cross_origin=bool(settings.cors_origins),
        metrics_token=bool(settings.metrics_token),
    )
    health.install(app, service, Arrivals(codes, settings.trusted_proxies))
    endpoint.install(app, metrics, Facts(settings, account.last), settings.metrics_token)
    if reports:
        # Started by gunicorn.conf.py, in each worker: a command needs no watch, and threads survive no fork.
        app.extensions["credit_watch"] = credit_watch.CreditWatch(
            account, settings.kavenegar_min_credit, report
        )
    cli.install(app, lambda: cli.Tools(settings, client, used_sender, reports, codes))
    return app
