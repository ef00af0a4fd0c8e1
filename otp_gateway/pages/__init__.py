"""The login page: the user flow in a browser, and an example for front ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, partial
from importlib import resources
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Flask, Response, make_response, render_template, request, url_for

from otp_gateway.api import security_headers
from otp_gateway.pages import number_rules, static_files
from otp_gateway.pages.brand import Brand
from otp_gateway.settings import Settings

DEFAULT_LANGUAGE = "en"
PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
# The key in the app's configuration: whether the page has a button that refreshes the session.
OFFERS_REFRESH = "LOGIN_PAGE_OFFERS_REFRESH"
# Characters that isolate a number: it keeps its own direction in a text of the other direction.
ISOLATED = "\u2066{}\u2069"


def install(app: Flask, settings: Settings) -> None:
    """Serve the page at /."""
    pages = Blueprint("pages", __name__, template_folder="templates")
    brand = Brand(settings)
    numbers = number_rules.rules(settings.otp_regions)
    static = partial(url_for, "pages.static")

    @pages.get("/")
    def login() -> Response:
        language = _language(settings.otp_language or DEFAULT_LANGUAGE)
        texts = _texts()[language]
        digits = partial(_digits, language=language)
        page = render_template(
            "login.html",
            lang=language,
            t=texts,
            title=texts["title_brand"].format(brand=brand.name) if brand.name else texts["title"],
            digits=digits,
            # The number must not contain a line break.
            example=ISOLATED.format(digits(numbers["example"]).replace(" ", "\u00a0")),
            other_query=urlencode({**request.args.to_dict(), "lang": texts["other"]}),
            brand=brand,
            numbers=numbers,
            delivery="cookies" if settings.auth_cookies else "body",
            channels=settings.channels,
            code_length=settings.otp_length,
            onward=_onward(settings.otp_login_redirect),
            offers_refresh=app.config.get(OFFERS_REFRESH, False),
            static=lambda name: static(filename=name),
        )
        response = make_response(page)
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Accept-Language")
        static_files.compress(response)
        return response

    @pages.after_request
    def protect(response: Response) -> Response:
        return security_headers.protect(response)

    static_files.install(pages, brand.files)
    app.register_blueprint(pages)


@cache
def _texts() -> dict[str, Any]:
    source = resources.files(__package__).joinpath("texts.json")
    texts: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return texts


def _language(default: str) -> str:
    """The language that was chosen on the page, otherwise the browser's."""
    chosen = request.args.get("lang")
    if chosen in _texts():
        return chosen
    return request.accept_languages.best_match(list(_texts()), default)


def _digits(number: int | str, language: str) -> str:
    return str(number).translate(PERSIAN_DIGITS) if language == "fa" else str(number)


def _onward(redirects: Sequence[str]) -> str | None:
    """The URL after the login: ``?next=`` if its origin is listed, otherwise the first URL of the list."""
    wanted = request.args.get("next", "")
    origin = _origin(wanted)
    if origin and origin in [_origin(allowed) for allowed in redirects]:
        return wanted
    return next(iter(redirects), None)


def _origin(url: str) -> tuple[str, str] | None:
    # Browsers and urlsplit read some characters differently (backslashes, control characters, user names).
    if not url.isprintable() or any(c in url for c in "\\ "):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    sound = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    return (parts.scheme, parts.netloc) if sound else None
