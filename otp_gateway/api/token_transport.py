"""Transports of tokens between gateway and client: in the body, or in cookies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from flask import Response, jsonify, request
from marshmallow import Schema

from otp_gateway.abuse.devices import DIVIDER
from otp_gateway.api import bearer, request_schemas, response_schemas
from otp_gateway.api.device_cookie import DeviceCookie
from otp_gateway.errors import CrossOrigin, InvalidToken
from otp_gateway.tokens import TokenPair, Tokens

ACCESS_COOKIE = "__Host-access"
REFRESH_COOKIE = "__Secure-refresh"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# Terms of OpenAPI: a security scheme; and the schemes that are needed together, by name, with their scopes.
SecurityScheme = Mapping[str, Any]
SecurityRequirement = Mapping[str, list[str]]
# The members of a request's body, as its schema loads them.
Fields = Mapping[str, Any]
# Made once, because marshmallow copies every field for each new schema.
_LOGIN, _SESSION = response_schemas.LoginSchema(), response_schemas.SessionSchema()
BEARER: SecurityScheme = {"type": "http", "scheme": "bearer"}
ACCESS_BEARER: SecurityScheme = {**BEARER, "bearerFormat": "JWT", "description": "An access token"}
BOTH_COOKIES: SecurityRequirement = {"access": [], "refresh": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportDescription:
    """The parts of the OpenAPI document that depend on the transport of tokens."""

    # A paragraph about the whole API.
    about: str = ""
    # The reply of a refresh, and the reply of a login if it is different.
    session_schema: type[Schema]
    login_schema: type[Schema]
    session_text: str
    # The bodies in which a client sends its refresh token: to refresh the session, and to end it.
    token_request: Schema
    revoke_request: Schema
    token_request_examples: Mapping[str, Any] = field(default_factory=dict)
    # The part of an OpenAPI link that puts the refresh token of a reply into the next request.
    token_link: Mapping[str, Any] = field(default_factory=dict)
    security_schemes: Mapping[str, SecurityScheme]
    refresh_security: Sequence[SecurityRequirement] = ()
    revoke_security: Sequence[SecurityRequirement] = ()
    user_security: Sequence[SecurityRequirement]
    # Headers of the replies that set or remove tokens.
    token_headers: Sequence[str] = ()
    # The codes of the errors that ``guard`` raises, and sentences about them in the document. There is one
    # sentence for operations that always call ``guard``, and one for `me`, which calls it only if the access
    # token is in a cookie.
    guard_errors: Sequence[str] = ()
    guard_sentence: str = ""
    user_guard_sentence: str = ""


def _cookie_scheme(token: str, name: str) -> SecurityScheme:
    about = f"The {token} token; browsers send it by themselves"
    return {"type": "apiKey", "in": "cookie", "name": name, "description": about}


class TokenTransport(Protocol):
    """Gives tokens to a client and takes them back."""

    description: ClassVar[TransportDescription]

    def guard(self) -> None:
        """Refuse a request that another site's page may have made. Raises ``CrossOrigin``."""
        ...

    def give(self, pair: TokenPair) -> Response:
        """Make the reply of a login or a refresh."""
        ...

    def refresh_token(self, fields: Fields) -> str:
        """The presented refresh token; empty if there is no token. ``fields``: the members of the body."""
        ...

    def access_token(self) -> str:
        """The presented access token. Raises ``InvalidToken`` if there is no token, and ``CrossOrigin``."""
        ...

    def device_token(self, fields: Fields) -> str | None:
        """The presented device token, or several of them with dots between them."""
        ...

    def forget(self, response: Response, fields: Fields) -> Response:
        """Remove the client's tokens, if the transport can. ``forget_device``: also its device tokens."""
        ...


class BodyTransport:
    """Tokens in JSON bodies and in the header Authorization: for apps and single-page apps."""

    description: ClassVar = TransportDescription(
        session_schema=response_schemas.TokenPairSchema,
        login_schema=response_schemas.LoginSchema,
        session_text="The session and its tokens",
        token_request=request_schemas.token_request_schema(),
        revoke_request=request_schemas.revoke_request_schema(),
        token_link={"requestBody": {"refresh_token": "$response.body#/refresh_token"}},
        security_schemes={"bearer": ACCESS_BEARER},
        user_security=[{"bearer": []}],
    )

    def guard(self) -> None:
        """Accept every request: browsers do not send these tokens by themselves."""

    def give(self, pair: TokenPair) -> Response:
        tokens = {"access_token": pair.access_token, "refresh_token": pair.refresh_token}
        if pair.device_token:
            tokens["device_token"] = pair.device_token
        return jsonify(_LOGIN.dump(_session(pair) | tokens))

    def refresh_token(self, fields: Fields) -> str:
        token: str = fields["refresh_token"]
        return token

    def access_token(self) -> str:
        return bearer.token()

    def device_token(self, fields: Fields) -> str | None:
        token: str | None = fields["device_token"]
        return token

    def forget(self, response: Response, fields: Fields) -> Response:
        del fields
        return response


class CookieTransport:
    """Tokens in cookies that scripts cannot read, only for pages of our own origin.

    A sibling subdomain belongs to the same site, so SameSite does not block it. It can send posts, and it can
    set a cookie for the whole domain. So a post must come from our own origin. A sibling cannot set
    ``__Host-access``. It can set ``__Secure-refresh``, which has a path and so cannot be a ``__Host-``
    cookie. Therefore a refresh cookie is used only together with an access cookie of the same session. For
    this reason the access cookie has the lifetime of the session, although the token in it expires earlier.
    """

    description: ClassVar = TransportDescription(
        about="""
**Tokens** are in cookies that scripts cannot read, the device token in `__Secure-device`. Verify, refresh,
revoke and, by cookie, `me` answer only pages of this origin. Browsers send the origin of a page by
themselves (`Sec-Fetch-Site`, or `Origin`).
""",
        session_schema=response_schemas.SessionSchema,
        login_schema=response_schemas.SessionSchema,
        session_text="The session; its tokens are in the cookies",
        # The body has no member. It must be JSON, because a page of another site cannot post JSON
        # without a preflight.
        token_request=request_schemas.empty_request_schema(),
        revoke_request=request_schemas.forget_request_schema(),
        token_request_examples={"cookies": {"summary": "The token is in the cookie", "value": {}}},
        security_schemes={
            "bearer": ACCESS_BEARER,
            "access": _cookie_scheme("access", ACCESS_COOKIE),
            "refresh": _cookie_scheme("refresh", REFRESH_COOKIE),
        },
        refresh_security=[BOTH_COOKIES],
        # A revoke without cookies is accepted as well.
        revoke_security=[BOTH_COOKIES, {}],
        user_security=[{"bearer": []}, {"access": []}],
        token_headers=("Set-Cookie",),
        guard_errors=(CrossOrigin.code,),
        guard_sentence=" Only pages of this origin are answered.",
        user_guard_sentence=" With the cookie, only pages of this origin are answered.",
    )

    def __init__(self, tokens: Tokens, refresh_path: str, device: DeviceCookie) -> None:
        """``refresh_path``: the only path to which browsers send the refresh cookie."""
        self._tokens = tokens
        self._path = refresh_path
        self._device = device

    def guard(self) -> None:
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            same = site == "same-origin"
        else:
            # A browser that is too old for Sec-Fetch-Site sends Origin with every post. A proxy terminates
            # TLS, so the gateway does not see the scheme of the page.
            schemes = ("https", "http") if _is_loopback(request.host) else ("https",)
            same = request.headers.get("Origin") in [f"{scheme}://{request.host}" for scheme in schemes]
        if not same:
            raise CrossOrigin

    def give(self, pair: TokenPair) -> Response:
        response = jsonify(_SESSION.dump(_session(pair)))
        for name, value, path in (
            (ACCESS_COOKIE, pair.access_token, "/"),
            (REFRESH_COOKIE, pair.refresh_token, self._path),
        ):
            _set_cookie(response, name, value, path, pair.refresh_expires_in)
        if pair.device_token:
            self._device.add(response, pair.device_token, pair.user.phone)
        return response

    def refresh_token(self, fields: Fields) -> str:
        del fields
        access = request.cookies.get(ACCESS_COOKIE, "")
        candidates = request.cookies.getlist(REFRESH_COOKIE)
        return next((c for c in candidates if self._tokens.of_one_session(access, c)), "")

    def access_token(self) -> str:
        if "Authorization" in request.headers:
            return bearer.token()
        token = request.cookies.get(ACCESS_COOKIE)
        if not token:
            raise InvalidToken
        self.guard()
        return token

    def device_token(self, fields: Fields) -> str | None:
        presented: str | None = fields["device_token"]
        # A script cannot omit the cookie. If the device's lane is locked, it sends an empty text instead.
        tokens = [] if presented == "" else [presented, self._device.tokens()]
        return DIVIDER.join(filter(None, tokens)) or None

    def forget(self, response: Response, fields: Fields) -> Response:
        for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, self._path)):
            _set_cookie(response, name, "", path, 0)
        if fields["forget_device"]:
            self._device.remove(response)
        return response


def _session(pair: TokenPair) -> dict[str, Any]:
    return {
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
        "refresh_expires_in": pair.refresh_expires_in,
        "user": {"id": pair.user.id, "phone_number": pair.user.phone.e164},
    }


def _set_cookie(response: Response, name: str, value: str, path: str, max_age: int) -> None:
    response.set_cookie(
        name, value, max_age=max_age, path=path, secure=True, httponly=True, samesite="Strict"
    )


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.rpartition(":")[0] in LOOPBACK
