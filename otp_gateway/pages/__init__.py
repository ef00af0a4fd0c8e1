"""The login page: the user flow in a browser, and an example for front ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Flask, Response, make_response, render_template, request

from otp_gateway.api import security_headers
from otp_gateway.settings import Settings

DEFAULT_LANGUAGE = "en"
PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


def install(app: Flask, settings: Settings, *, api: str) -> None:
    """Serve the page at /. ``api`` is the API's path."""
    pages = Blueprint(
        "pages", __name__, static_folder="static", static_url_path="/static", template_folder="templates"
    )

    @pages.get("/")
    def login() -> Response:
        language = _language()
        texts = _texts()[language]
        page = render_template(
            "login.html",
            lang=language,
            t=texts,
            digits=lambda number: _digits(number, language),
            other_query=urlencode({**request.args.to_dict(), "lang": texts["other"]}),
            api=api,
            delivery="cookies" if settings.auth_cookies else "body",
            channels=settings.channels,
            length=settings.otp_length,
            onward=_onward(settings.otp_login_redirect),
        )
        response = make_response(page)
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Accept-Language")
        return response

    @pages.after_request
    def protect(response: Response) -> Response:
        security_headers.protect(response)
        if request.endpoint == "pages.static":
            # Asked for anew each time (the ETag spares the transfer): page and script are of one release.
            response.cache_control.no_cache = True
        return response

    app.register_blueprint(pages)


@cache
def _texts() -> dict[str, Any]:
    source = resources.files(__package__).joinpath("texts.json")
    texts: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return texts


def _language() -> str:
    """The one chosen on the page, else the browser's."""
    chosen = request.args.get("lang")
    if chosen in _texts():
        return chosen
    return request.accept_languages.best_match(list(_texts()), DEFAULT_LANGUAGE)


def _digits(number: int, language: str) -> str:
    return str(number).translate(PERSIAN_DIGITS) if language == "fa" else str(number)


def _onward(redirects: Sequence[str]) -> str | None:
    """Where to go after the login: ``?next=`` if its origin is listed, else the first address listed."""
    wanted = request.args.get("next", "")
    origin = _origin(wanted)
    if origin and origin in [_origin(allowed) for allowed in redirects]:
        return wanted
    return next(iter(redirects), None)


def _origin(address: str) -> tuple[str, str] | None:
    # What browsers and urlsplit read differently (backslashes, control characters, user names) is refused.
    if not address.isprintable() or any(c in address for c in "\\ "):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    sound = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    return (parts.scheme, parts.netloc) if sound else None
