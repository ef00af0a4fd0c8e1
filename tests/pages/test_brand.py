"""The operator's brand: texts are readable in each colour, and the files are served."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from otp_gateway import create_app, dev
from otp_gateway.pages.brand import DARK_GROUND, LIGHT_GROUND, READABLE, contrast, scheme
from otp_gateway.settings import Settings, SettingsError
from tests.support.gateway import ROOT

MakeClient = Callable[..., FlaskClient]
STYLES = (ROOT / "otp_gateway" / "pages" / "static" / "login.css").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.fixture
def client(settings: Callable[..., Settings]) -> MakeClient:
    return lambda **variables: create_app(settings(**variables)).test_client()


colors = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@given(colors)
def test_each_colour_gives_texts_that_people_can_read(color: str) -> None:
    for ground, other in ((LIGHT_GROUND, "#000000"), (DARK_GROUND, "#ffffff")):
        found = scheme(color, ground, other)
        assert contrast(found.link, ground) >= READABLE
        assert contrast(found.accent, found.on_accent) >= READABLE
        assert contrast(found.hover, found.on_accent) >= READABLE


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_grounds_are_those_of_the_style_sheet() -> None:
    light, dark = re.findall(r"--(?:ground|card): (#[0-9a-f]{6})", STYLES)[0::3]
    assert light == LIGHT_GROUND
    assert dark == DARK_GROUND


def test_a_colour_that_is_readable_stays_as_it_is(client: MakeClient) -> None:
    styles = client(BRAND_COLOR="#0A7D4F").get("/static/brand.css").text
    light, dark = styles.split("@media")
    assert "--accent: #0a7d4f;" in light
    assert "--link: #0a7d4f;" in light
    assert "--accent: #0a7d4f;" in dark
    assert "--link: #0a7d4f;" not in dark


def test_the_page_has_the_brand(client: MakeClient, tmp_path: Path) -> None:
    logo = tmp_path / "our logo.PNG"
    logo.write_bytes(PNG)
    ours = client(
        BRAND_NAME="دیجی<b>شاپ",
        BRAND_LOGO=str(logo),
        BRAND_COLOR="#0a7d4f",
        BRAND_TERMS="https://example.com/terms?a=1&b=2",
    )
    page = ours.get("/?lang=fa").text
    assert "<title>ورود با شماره موبایل · دیجی&lt;b&gt;شاپ</title>" in page
    assert '<h1 id="title" tabindex="-1">ورود به دیجی&lt;b&gt;شاپ</h1>' in page
    assert '<link rel="icon" href="/static/brand-logo.png" type="image/png">' in page
    assert '<img class="logo" src="/static/brand-logo.png" alt=""' in page
    assert '<link rel="stylesheet" href="/static/brand.css">' in page
    assert 'href="https://example.com/terms?a=1&amp;b=2"' in page
    reply = ours.get("/static/brand-logo.png")
    assert reply.data == PNG
    assert reply.content_type == "image/png"
    assert "script-src 'self'" in reply.headers["Content-Security-Policy"]


def test_a_gateway_without_a_brand_has_our_icon_and_no_other_file(client: MakeClient) -> None:
    plain = client()
    page = plain.get("/").text
    assert '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">' in page
    assert '<img class="logo" src="/static/icon.svg"' in page
    assert "brand" not in page
    assert 'id="terms"' not in page
    assert plain.get("/static/brand.css").status_code == 404


def test_another_brand_does_not_get_our_icon(client: MakeClient) -> None:
    assert '<img class="logo"' not in client(BRAND_NAME="Shop").get("/").text


@pytest.mark.parametrize("size", [0, 64 * 1024 + 1])
def test_a_logo_without_content_or_with_too_much_is_refused(tmp_path: Path, size: int) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"x" * size)
    with pytest.raises(SettingsError, match="BRAND_LOGO: the file has"):
        Settings.load({"BRAND_LOGO": str(logo)}, dotenv=None)


@pytest.mark.parametrize(
    ("default", "browser_speaks", "path", "language"),
    [
        ("fa", "de-DE", "/", "fa"),
        ("fa", None, "/", "fa"),
        ("en", "de-DE", "/", "en"),
        ("fa", "en-US", "/", "en"),
        ("en", "fa-IR", "/", "fa"),
        ("fa", "de-DE", "/?lang=en", "en"),
    ],
)
def test_the_operators_language_is_for_browsers_that_speak_neither(
    client: MakeClient, default: str, browser_speaks: str | None, path: str, language: str
) -> None:
    headers = {"Accept-Language": browser_speaks} if browser_speaks else {}
    assert client(OTP_LANGUAGE=default).get(path, headers=headers).headers["Content-Language"] == language


def test_only_make_run_offers_to_refresh_the_session(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'id="refresh"' not in client().get("/").text
    monkeypatch.setattr("otp_gateway.server.application", lambda: client().application)
    assert 'id="refresh"' in dev.application().test_client().get("/").text
    assert "otp_gateway.dev:application()" in inspect.getsource(dev.main)
