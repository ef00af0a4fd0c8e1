"""Access and refresh tokens: JWTs (RFC 7519). Their types and claims follow RFC 9068."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Self

from otp_gateway.errors import InvalidToken
from otp_gateway.model import PhoneNumber, Session
from otp_gateway.settings import Settings
from otp_gateway.signing import KeyRing

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"
# A token may have been made so many seconds after now, because the reader's clock is not Redis's clock.
CLOCK_SKEW = 60


@dataclass(frozen=True, slots=True)
class User:
    """The user of a token. ``id`` is as private as the phone."""

    id: str
    phone: PhoneNumber


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """The tokens of a session. Lifetimes are in seconds.

    ``device_token``: only after a verify, if the gateway makes such tokens. ``test``: the phone is a test
    number.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int
    user: User
    device_token: str | None = None
    test: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class RefreshClaims:
    """The claims of a refresh token: the phone and the session to which it belongs, and its own id."""

    phone: PhoneNumber
    session_id: str
    refresh_id: str


class Tokens:
    """Makes token pairs for sessions, and reads them."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str,
        audience: str,
        access_ttl: int,
        refresh_ttl: int,
    ) -> None:
        """Lifetimes are in seconds."""
        self._keys = keys
        self._issuer = issuer
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, issuer)
        self._audience = audience
        self._refresh_audience = f"{issuer}/refresh"
        self._access_ttl = access_ttl
        self._refresh_ttl = refresh_ttl

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make it with the operator's settings."""
        return cls(
            KeyRing(
                settings.signing_key,
                former=[*settings.jwt_former_public_keys, *settings.secret_key_fallbacks],
            ),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            access_ttl=settings.jwt_access_ttl,
            refresh_ttl=settings.jwt_refresh_ttl,
        )

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The keys with which backends check our tokens, as a JWK set."""
        return self._keys.jwks()

    def subject(self, phone: PhoneNumber) -> str:
        """The user's id: a UUID (RFC 9562, version 5) of issuer and phone. It does not depend on secrets."""
        return str(uuid.uuid5(self._namespace, phone.e164))

    def issue(self, phone: PhoneNumber, session: Session) -> TokenPair:
        """Make the tokens with the session's present token ids. Equal sessions give equal claims."""
        user = User(self.subject(phone), phone)
        # A refresh does not make a session longer. It ends JWT_REFRESH_TTL after its login, with its access
        # tokens.
        ends = session.authenticated_at + self._refresh_ttl
        access_ends = min(session.issued_at + self._access_ttl, ends)
        shared: dict[str, Any] = {
            "iss": self._issuer,
            "sub": user.id,
            "iat": session.issued_at,
            "sid": session.id,
            "auth_time": session.authenticated_at,
            "phone_number": phone.e164,
        }
        test = session.channel == "test"
        if test:
            shared["test"] = True
        access = shared | {
            "aud": self._audience,
            "exp": access_ends,
            "jti": session.access_id,
            "phone_number_verified": True,
            # RFC 8176 has the names "sms" and "tel" for the two channels.
            "amr": ["otp", "tel" if session.channel == "call" else "sms"],
            "token_use": "access",
        }
        refresh = shared | {
            "aud": self._refresh_audience,
            "exp": ends,
            "jti": session.refresh_id,
            "token_use": "refresh",
        }
        return TokenPair(
            access_token=self._keys.sign(access, ACCESS_TYPE),
            refresh_token=self._keys.sign(refresh, REFRESH_TYPE),
            expires_in=access_ends - session.issued_at,
            refresh_expires_in=ends - session.issued_at,
            user=user,
            test=test,
        )

    def read_access(self, token: str, now: float) -> User:
        """The user of an access token. ``now`` is in seconds since 1970. Raises ``InvalidToken``."""
        claims = self._access_claims(token)
        _check_times(claims, now)
        return User(claims["sub"], PhoneNumber(claims["phone_number"]))

    def read_refresh(self, token: str, now: float) -> RefreshClaims:
        """The claims of a refresh token. ``now`` is in seconds since 1970. Raises ``InvalidToken``."""
        claims = self._refresh_claims(token)
        _check_times(claims, now)
        # The operator may have set a shorter lifetime after the token was made.
        if now >= claims["auth_time"] + self._refresh_ttl:
            raise InvalidToken
        return RefreshClaims(PhoneNumber(claims["phone_number"]), claims["sid"], claims["jti"])

    def of_one_session(self, access_token: str, refresh_token: str) -> bool:
        """Whether both tokens are ours and of the same session. They may have expired."""
        try:
            access, refresh = self._access_claims(access_token), self._refresh_claims(refresh_token)
        except InvalidToken:
            return False
        return bool(access["sid"] == refresh["sid"] and access["sub"] == refresh["sub"])

    def _access_claims(self, token: str) -> dict[str, Any]:
        claims = self._keys.read(token, ACCESS_TYPE, issuer=self._issuer, audience=self._audience)
        if claims.get("phone_number_verified") is not True or not isinstance(claims.get("amr"), list):
            raise InvalidToken
        return _complete(claims, "access")

    def _refresh_claims(self, token: str) -> dict[str, Any]:
        claims = self._keys.read(token, REFRESH_TYPE, issuer=self._issuer, audience=self._refresh_audience)
        return _complete(claims, "refresh")


def _complete(claims: dict[str, Any], use: str) -> dict[str, Any]:
    """The claims. Raises an error if one is missing or has a wrong type."""
    texts = ("sub", "sid", "jti", "phone_number")
    times = ("iat", "exp", "auth_time")
    if (
        claims.get("token_use") != use
        or not all(isinstance(claims.get(name), str) for name in texts)
        or not all(type(claims.get(name)) is int for name in times)
    ):
        raise InvalidToken
    return claims


def _check_times(claims: dict[str, Any], now: float) -> None:
    if now >= claims["exp"] or now < claims["iat"] - CLOCK_SKEW:
        raise InvalidToken
