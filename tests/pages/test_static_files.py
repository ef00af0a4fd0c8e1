"""The page's files: compressed if the client accepts this, and never out of date."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from otp_gateway import create_app
from otp_gateway.settings import Settings
from tests.support.gateway import ROOT

FOLDER = ROOT / "otp_gateway" / "pages" / "static"
GZIP = {"Accept-Encoding": "gzip, br"}
TYPES = {
    "otp.js": "text/javascript; charset=utf-8",
    "otp.d.ts": "text/plain; charset=utf-8",
    "login.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@pytest.fixture
def client(settings: Callable[..., Settings]) -> FlaskClient:
    return create_app(settings()).test_client()


@pytest.mark.parametrize("name", [path.name for path in FOLDER.iterdir()])
def test_each_file_is_served_as_it_is(client: FlaskClient, name: str) -> None:
    reply = client.get(f"/static/{name}")
    assert reply.data == (FOLDER / name).read_bytes()
    assert reply.content_encoding is None
    assert reply.content_type == TYPES.get(name, reply.content_type)
    squeezed = client.get(f"/static/{name}", headers=GZIP)
    if squeezed.content_encoding:
        assert gzip.decompress(squeezed.data) == reply.data
        assert len(squeezed.data) < len(reply.data)
        assert {r.headers["Vary"] for r in (reply, squeezed)} == {"Accept-Encoding"}


def test_scripts_and_styles_are_compressed(client: FlaskClient) -> None:
    for name in ("login.js", "otp.js", "login.css", "docs.css"):
        assert client.get(f"/static/{name}", headers=GZIP).content_encoding == "gzip"


def test_the_page_is_compressed_too(client: FlaskClient) -> None:
    plain, squeezed = client.get("/?lang=fa"), client.get("/?lang=fa", headers=GZIP)
    assert plain.content_encoding is None
    assert gzip.decompress(squeezed.data) == plain.data
    assert plain.headers["Vary"] == squeezed.headers["Vary"] == "Accept-Language, Accept-Encoding"


@pytest.mark.parametrize("refused", ["identity", "gzip;q=0", "br", ""])
def test_a_client_that_does_not_accept_gzip_gets_none(client: FlaskClient, refused: str) -> None:
    for path in ("/", "/static/login.js"):
        assert client.get(path, headers={"Accept-Encoding": refused}).content_encoding is None


def test_a_client_that_has_the_file_gets_no_body(client: FlaskClient) -> None:
    for headers in ({}, GZIP):
        first = client.get("/static/login.js", headers=headers)
        assert first.headers["Cache-Control"] == "no-cache"
        again = client.get("/static/login.js", headers={**headers, "If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert again.data == b""


@pytest.mark.parametrize("name", ["nothing.js", "", "../texts.json", "%2e%2e/texts.json", "x/otp.js"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_head_shows_the_length_of_the_compressed_file(client: FlaskClient) -> None:
    got, head = (ask("/static/login.js", headers=GZIP) for ask in (client.get, client.head))
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.data))
