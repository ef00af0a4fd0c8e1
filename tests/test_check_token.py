"""Signed check tokens, and the clients to which a gateway reports the headers that arrive."""

from __future__ import annotations

import base64
import time

import pytest
from itsdangerous import TimestampSigner

from otp_gateway import check_token
from otp_gateway.codes import Codes
from tests.api.support import make_api
from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway

KEY = Codes(SECRET_KEY, 6).check_key
OTHER_KEY = Codes("another-secret-key-of-forty-characters--", 6).check_key
NOBODY = {"status": "ok"}


def made(ago: float) -> str:
    """A signed check token that was made so many seconds ago."""
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time() - ago))
        return check_token.make(KEY)


@pytest.mark.parametrize(
    ("ago", "good"), [(0, True), (290, True), (310, False), (-290, True), (-310, False), (-(10**9), False)]
)
def test_a_pass_is_good_for_five_minutes_by_either_clock(ago: float, good: bool) -> None:
    assert check_token.is_good(KEY, made(ago)) is good


def test_a_pass_of_another_key_or_word_is_none() -> None:
    assert not check_token.is_good(KEY, check_token.make(OTHER_KEY))
    assert not check_token.is_good(KEY, check_token._signer(KEY).sign("something else").decode())


def forgeries() -> list[str]:
    good = check_token.make(KEY)
    word, stamp, signature = good.split(".")
    last = "A" if signature[10] != "A" else "B"
    return [
        "",
        ".",
        "..",
        word,
        f"{word}.{stamp}",
        f"{word}.{stamp}.",
        f"{word}..{signature}",
        f"{word}.{stamp}x.{signature}",
        f"{word}.{signature}.{stamp}",
        f"{word}.{stamp}.{signature[:10]}{last}{signature[11:]}",
        f"{word}.{stamp}.{signature[:-2]}",
        f"x{good}",
        f"{good}, {good}",
        f"{word}.{base64.urlsafe_b64encode(bytes([255] * 40)).decode().rstrip('=')}.{signature}",
        "\xe9\xff.\xe9.\xe9",
        "۱۲۳.۴.۵",
        "a" * 7000,
    ]


@pytest.mark.parametrize("text", forgeries(), ids=range(17))
def test_what_is_no_pass_is_refused(text: str) -> None:
    assert not check_token.is_good(KEY, text)


@pytest.mark.parametrize("text", forgeries(), ids=range(17))
def test_no_client_without_a_check_token_gets_the_echo(text: str) -> None:
    reply = make_api().get("/healthz", headers={check_token.HEADER: text.encode().decode("latin-1")})
    assert reply.status_code == 200
    assert reply.json == NOBODY


def test_a_running_gateway_tells_the_bearer_only_and_no_cache_keeps_it() -> None:
    with Gateway({"SECRET_KEY": SECRET_KEY, "TRUSTED_PROXIES": "1"}) as gateway:
        hops = {"X-Forwarded-For": "203.0.113.77, 198.51.100.7:50123", "Via": "1.1 x", "X-Real-IP": "1.2.3.4"}
        told = gateway.get("/healthz", headers={check_token.HEADER: check_token.make(KEY), **hops})
        assert told.json() == {
            "status": "ok",
            "arrival": {
                "trusted_proxies": 1,
                "client": "198.51.100.7",
                "forwarded_for": ["203.0.113.77", "198.51.100.7:50123"],
                "forwarding": ["via", "x-real-ip"],
                "host": f"127.0.0.1:{gateway.port}",
            },
        }
        assert told.headers["Cache-Control"] == "no-store"
        for given in (
            {},
            {check_token.HEADER: check_token.make(OTHER_KEY)},
            {check_token.HEADER: made(400)},
            {check_token.HEADER: b"\xff\xfe\x80.\xc3\x28.\xe2\x82"},
            {check_token.HEADER: "a" * 4000},
        ):
            reply = gateway.get("/healthz", headers=given)
            assert (reply.status_code, reply.json()) == (200, NOBODY)
            assert reply.headers["Cache-Control"] == "no-store"
        # Bytes that are not text do not appear in an answer and do not break one.
        odd = {check_token.HEADER: check_token.make(KEY), "X-Forwarded-For": b"\xff\x80, 198.51.100.7"}
        assert gateway.get("/healthz", headers=odd).json()["arrival"]["client"] == "198.51.100.7"
        assert (
            gateway.request("HEAD", "/healthz", headers={check_token.HEADER: check_token.make(KEY)}).content
            == b""
        )
        assert check_token.HEADER.lower() not in gateway.log().lower()
