"""Access and refresh tokens: JWTs (RFC 7519, RFC 9068) by PyJWT."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Protocol, Self

import jwt

from otp_gateway.model import PhoneNumber, Session
from otp_gateway.settings import Settings

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"


class Signer(Protocol):
    """A key that signs tokens."""

    def sign(self, claims: dict[str, Any], token_type: str) -> str:
        """The compact JWS of the claims, with ``token_type`` as its ``typ``."""
        ...


class SharedSecret:
    """HS256 with ``SECRET_KEY``: gateway and backends hold the same secret."""

    algorithm = "HS256"

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def sign(self, claims: dict[str, Any], token_type: str) -> str:
        """See ``Signer``."""
        return jwt.encode(claims, self._secret, self.algorithm, headers={"typ": token_type})


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """What a login yields. Lifetimes in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int
    user_id: str
    phone: PhoneNumber


class Tokens:
    """Makes token pairs for sessions."""

    def __init__(
        self, signer: Signer, *, issuer: str, audience: str, access_ttl: int, refresh_ttl: int
    ) -> None:
        """Lifetimes in seconds."""
        self._signer = signer
        self._issuer = issuer
        self._audience = audience
        self._access_ttl = access_ttl
        self._refresh_ttl = refresh_ttl

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Tokens as the operator has set them."""
        return cls(
            SharedSecret(settings.secret_key),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            access_ttl=settings.jwt_access_ttl,
            refresh_ttl=settings.jwt_refresh_ttl,
        )

    def subject(self, phone: PhoneNumber) -> str:
        """The user's id: a UUID (RFC 9562, version 5) of issuer and phone, whatever the secrets are."""
        namespace = uuid.uuid5(uuid.NAMESPACE_URL, self._issuer)
        return str(uuid.uuid5(namespace, phone.e164))

    def issue(self, phone: PhoneNumber, session: Session) -> TokenPair:
        """The pair of the session's present token ids; the same session gives the same claims."""
        subject = self.subject(phone)
        # The session ends JWT_REFRESH_TTL after its login, however often it is refreshed.
        refresh_exp = session.authenticated_at + self._refresh_ttl
        shared = {
            "iss": self._issuer,
            "sub": subject,
            "iat": session.issued_at,
            "sid": session.id,
            "auth_time": session.authenticated_at,
            "phone_number": phone.e164,
        }
        access = shared | {
            "aud": self._audience,
            "exp": session.issued_at + self._access_ttl,
            "jti": session.access_id,
            "phone_number_verified": True,
            # RFC 8176 names "sms" and "tel" for the two ways.
            "amr": ["otp", "sms" if session.channel == "sms" else "tel"],
            "token_use": "access",
        }
        refresh = shared | {
            "aud": f"{self._issuer}/refresh",
            "exp": refresh_exp,
            "jti": session.refresh_id,
            "token_use": "refresh",
        }
        return TokenPair(
            access_token=self._signer.sign(access, ACCESS_TYPE),
            refresh_token=self._signer.sign(refresh, REFRESH_TYPE),
            expires_in=self._access_ttl,
            refresh_expires_in=refresh_exp - session.issued_at,
            user_id=subject,
            phone=phone,
        )
