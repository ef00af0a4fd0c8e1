"""The variables of the group "Tokens"."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    boolean,
    choice,
    integer,
    private_key,
    public_keys,
)
from otp_gateway.settings.urls import origins
from otp_gateway.signing import ASYMMETRIC, SYMMETRIC, PrivateKey, PublicKey


@dataclass(frozen=True, kw_only=True)
class TokenVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    jwt_issuer: str = variable(str, "otp-gateway", heading="Tokens", help="The claim `iss` of the tokens.")
    jwt_audience: str = variable(str, "otp-gateway", help="The claim `aud` of the access tokens.")
    jwt_algorithm: str = variable(
        choice(SYMMETRIC, *ASYMMETRIC),
        SYMMETRIC,
        help="HS256 signs with SECRET_KEY, the others sign with JWT_PRIVATE_KEY.",
    )
    jwt_private_key: PrivateKey | None = variable(
        optional(private_key),
        "",
        help=r"PEM text (\n for line ends), or the path of a PEM file.",
        secret=True,
    )
    jwt_former_public_keys: tuple[PublicKey, ...] = variable(
        public_keys,
        "",
        help="The public keys of former private keys: PEM, one after the other, or the path of a file. Their "
        "tokens stay valid, and they stay in the JWKS.",
        secret=True,
    )
    jwt_access_ttl: int = variable(integer(1, 86_400), "900", help="Seconds that an access token is valid.")
    jwt_refresh_ttl: int = variable(
        integer(1, 31_536_000), "2592000", help="Seconds that a refresh token and its session are valid."
    )
    auth_cookies: bool = variable(boolean, "false", help="Tokens in cookies instead of the body.")
    cors_origins: tuple[str, ...] = variable(
        origins,
        "",
        help="Origins whose pages may call the API, comma-separated. Not together with AUTH_COOKIES.",
    )
