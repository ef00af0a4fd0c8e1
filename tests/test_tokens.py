"""Claims and headers of the tokens, as a backend sees them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import jwt
import pytest

from otp_gateway.model import Channel, PhoneNumber, Session
from otp_gateway.tokens import TokenPair, Tokens
from tests.conftest import SECRET_KEY, make_settings

PHONE = PhoneNumber("+989123456789")
AUDIENCE = "otp-gateway"
REFRESH_AUDIENCE = "otp-gateway/refresh"
LOGIN = 4_000_000_000  # after the present: PyJWT checks exp; a session not yet refreshed


def session(channel: Channel = "sms") -> Session:
    return Session(
        id="the-session",
        refresh_id="the-refresh-token",
        access_id="the-access-token",
        authenticated_at=LOGIN,
        issued_at=LOGIN,
        channel=channel,
    )


def issue(login: Session | None = None, phone: PhoneNumber = PHONE, **variables: Any) -> TokenPair:
    return Tokens.from_settings(make_settings(**variables)).issue(phone, login or session())


def claims(token: str, audience: str = AUDIENCE, key: str = SECRET_KEY, **options: Any) -> dict[str, Any]:
    """The claims, with signature and audience checked.

    The login is in the future, so times are not checked.
    """
    decoded: dict[str, Any] = jwt.decode(
        token, key, ["HS256"], audience=audience, options={"verify_iat": False}, **options
    )
    return decoded


def subject(phone: PhoneNumber = PHONE, **variables: Any) -> str:
    key = variables.get("SECRET_KEY", SECRET_KEY)
    found: str = claims(issue(phone=phone, **variables).access_token, key=key)["sub"]
    return found


def test_an_access_token_holds_exactly_the_claims_of_the_contract() -> None:
    pair = issue()
    assert claims(pair.access_token) == {
        "iss": "otp-gateway",
        "aud": AUDIENCE,
        "sub": pair.user.id,
        "iat": LOGIN,
        "exp": LOGIN + 900,
        "jti": "the-access-token",
        "sid": "the-session",
        "auth_time": LOGIN,
        "phone_number": PHONE.e164,
        "phone_number_verified": True,
        "amr": ["otp", "sms"],
        "token_use": "access",
    }


def test_a_refresh_token_holds_its_own_audience_and_use() -> None:
    pair = issue()
    assert claims(pair.refresh_token, REFRESH_AUDIENCE) == {
        "iss": "otp-gateway",
        "aud": REFRESH_AUDIENCE,
        "sub": pair.user.id,
        "iat": LOGIN,
        "exp": LOGIN + 2_592_000,
        "jti": "the-refresh-token",
        "sid": "the-session",
        "auth_time": LOGIN,
        "phone_number": PHONE.e164,
        "token_use": "refresh",
    }


def test_the_headers_tell_the_two_apart() -> None:
    pair = issue()
    assert jwt.get_unverified_header(pair.access_token) == {"alg": "HS256", "typ": "at+jwt"}
    assert jwt.get_unverified_header(pair.refresh_token) == {"alg": "HS256", "typ": "rt+jwt"}


def test_neither_passes_for_the_other() -> None:
    pair = issue()
    with pytest.raises(jwt.InvalidAudienceError):
        claims(pair.refresh_token, AUDIENCE)
    with pytest.raises(jwt.InvalidAudienceError):
        claims(pair.access_token, REFRESH_AUDIENCE)


def test_another_secret_does_not_verify_them() -> None:
    pair = issue()
    for token, audience in ((pair.access_token, AUDIENCE), (pair.refresh_token, REFRESH_AUDIENCE)):
        with pytest.raises(jwt.InvalidSignatureError):
            claims(token, audience, key=SECRET_KEY[::-1])


@pytest.mark.parametrize(("channel", "method"), [("sms", "sms"), ("call", "tel")])
def test_the_amr_names_how_the_code_travelled(channel: Channel, method: str) -> None:
    assert claims(issue(session(channel)).access_token)["amr"] == ["otp", method]


def test_issuer_audience_and_lives_are_the_operators() -> None:
    pair = issue(JWT_ISSUER="https://id.shop", JWT_AUDIENCE="shop", JWT_ACCESS_TTL=60, JWT_REFRESH_TTL=3600)
    access = claims(pair.access_token, "shop", issuer="https://id.shop")
    refresh = claims(pair.refresh_token, "https://id.shop/refresh", issuer="https://id.shop")
    assert (access["exp"], refresh["exp"]) == (LOGIN + 60, LOGIN + 3600)
    assert (pair.expires_in, pair.refresh_expires_in) == (60, 3600)


def test_the_pair_tells_phone_user_and_lives() -> None:
    pair = issue()
    assert (pair.user.phone, pair.expires_in, pair.refresh_expires_in) == (PHONE, 900, 2_592_000)
    assert "ey" not in repr(pair)


def test_a_session_that_was_refreshed_keeps_its_login_and_its_end() -> None:
    pair = issue(replace(session(), issued_at=LOGIN + 1000))
    access = claims(pair.access_token)
    refresh = claims(pair.refresh_token, REFRESH_AUDIENCE)
    for found in (access, refresh):
        assert (found["iat"], found["auth_time"]) == (LOGIN + 1000, LOGIN)
    assert access["exp"] == LOGIN + 1000 + 900
    assert refresh["exp"] == LOGIN + 2_592_000
    assert pair.refresh_expires_in == 2_592_000 - 1000


def test_the_same_session_gives_identical_tokens() -> None:
    first, second = issue(), issue()
    assert (first.access_token, first.refresh_token) == (second.access_token, second.refresh_token)


def test_the_subject_is_a_uuid_that_survives_a_change_of_secrets() -> None:
    assert str(uuid.UUID(subject())) == subject()
    assert subject(SECRET_KEY="another-secret-key-of-more-than-32-characters") == subject()
    assert subject(JWT_REFRESH_TTL=1000) == subject()


def test_the_subject_differs_by_issuer_and_by_phone() -> None:
    subjects = [
        subject(),
        subject(JWT_ISSUER="another"),
        subject(PhoneNumber("+989123456780")),
        subject(PhoneNumber("+989123456780"), JWT_ISSUER="another"),
    ]
    assert len(set(subjects)) == 4


def test_the_subject_of_a_phone_is_the_same_in_every_release() -> None:
    assert subject() == "7fa7f8fc-17e2-5cf0-9be8-7a3046fefead"
