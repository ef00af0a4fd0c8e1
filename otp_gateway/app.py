"""Composition root: the one place that knows everyone."""

from __future__ import annotations

from flask import Flask

from otp_gateway import log, pages
from otp_gateway.api import cors, errors, health, journal, jwks, limits, openapi, routes
from otp_gateway.api.delivery import InBody, InCookies
from otp_gateway.api.requests import MAX_BODY
from otp_gateway.codes import Codes
from otp_gateway.errors import StoreUnavailable
from otp_gateway.phones import PhoneParser
from otp_gateway.senders import Sender, sender_for
from otp_gateway.service import OtpService
from otp_gateway.settings import Settings
from otp_gateway.store import RedisStore, connect
from otp_gateway.store.connect import Client
from otp_gateway.tokens import Tokens


def create_app(
    settings: Settings | None = None, *, redis: Client | None = None, sender: Sender | None = None
) -> Flask:
    """The WSGI application; settings come from the environment unless they are given.

    ``redis`` and ``sender`` replace what the settings name. Raises ``SettingsError``.
    """
    settings = settings or Settings.load()
    log.configure(settings.log_level)

    codes, *former = (
        Codes(secret, settings.otp_length) for secret in (settings.secret_key, *settings.secret_key_fallbacks)
    )
    client = redis or connect(settings.redis_url)
    store = RedisStore(client, codes, settings.policy, former)
    try:
        store.load()
    except StoreUnavailable:
        # It may come later: until then requests are answered 503, and the scripts load themselves.
        log.get_logger(__name__).warning("Redis does not answer yet")
    tokens = Tokens.from_settings(settings)
    service = OtpService(store=store, sender=sender or sender_for(settings), codes=codes, tokens=tokens)

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    # After-request functions run last to first: the journal writes its line when the headers stand.
    journal.install(app)
    errors.install(app)
    cors.install(app, settings.cors_origins)
    limits.install(app)
    routes.install(
        app,
        service=service,
        store=store,
        codes=codes,
        phones=PhoneParser(settings.otp_regions),
        delivery=InCookies(tokens, routes.TOKEN_PATH) if settings.auth_cookies else InBody(),
        channels=settings.channels,
        code_length=settings.otp_length,
        otp_ip_limits=settings.otp_ip_limits,
        token_ip_limits=settings.token_ip_limits,
        trusted_proxies=settings.trusted_proxies,
    )
    jwks.install(app, tokens)
    pages.install(
        app,
        api=routes.PREFIX,
        delivery="cookies" if settings.auth_cookies else "body",
        channels=settings.channels,
        code_length=settings.otp_length,
        redirects=settings.otp_login_redirect,
    )
    openapi.install(
        app,
        channels=settings.channels,
        code_length=settings.otp_length,
        cookies=settings.auth_cookies,
    )
    health.install(app, service)
    return app
