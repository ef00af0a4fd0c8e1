"""How tokens travel between gateway and client: in the body, or in cookies."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Response, jsonify, request

from otp_gateway.api import bearer, body, request_schemas, response_schemas
from otp_gateway.errors import CrossOrigin, InvalidToken
from otp_gateway.tokens import TokenPair, Tokens

ACCESS_COOKIE = "__Host-access"
REFRESH_COOKIE = "__Secure-refresh"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class TokenTransport(Protocol):
    """Gives tokens to a client and takes them back."""

    def guard(self) -> None:
        """Refuse a request that another site's page may have made. Raises ``CrossOrigin``."""
        ...

    def give(self, pair: TokenPair) -> Response:
        """The reply of a login or a refresh."""
        ...

    def refresh_token(self) -> str:
        """The presented refresh token, empty where there is none. Raises ``InvalidRequest``."""
        ...

    def access_token(self) -> str:
        """The presented access token. Raises ``InvalidToken`` where there is none, and ``CrossOrigin``."""
        ...

    def forget(self, response: Response) -> Response:
        """Take the client's tokens away, as far as they are ours to take."""
        ...


class BodyTransport:
    """Tokens as members of the JSON bodies, and as bearer: for apps and single-page apps."""

    def __init__(self) -> None:
        self._schema = request_schemas.token_request_schema()

    def guard(self) -> None:
        """Nothing here rides on a cookie."""

    def give(self, pair: TokenPair) -> Response:
        tokens = {"access_token": pair.access_token, "refresh_token": pair.refresh_token}
        return jsonify(response_schemas.TokenPairSchema().dump(_facts(pair) | tokens))

    def refresh_token(self) -> str:
        token: str = body.load(self._schema)["refresh_token"]
        return token

    def access_token(self) -> str:
        return bearer.token()

    def forget(self, response: Response) -> Response:
        return response


class CookieTransport:
    """Tokens in cookies that scripts cannot read, for pages of our own origin alone.

    A sibling subdomain is the same site, so SameSite does not keep it out: it can post, and it can plant a
    cookie for the whole domain. So posts must come from our own origin. ``__Host-access`` cannot be planted;
    ``__Secure-refresh`` can, for its path keeps it from being a ``__Host-`` cookie, so one counts only if it
    is of the same session as the access cookie. That is why the access cookie stays for the session's life,
    when the token in it has long expired.
    """

    def __init__(self, tokens: Tokens, refresh_path: str) -> None:
        """``refresh_path``: the only path to which browsers send the refresh cookie."""
        self._tokens = tokens
        self._path = refresh_path
        self._schema = request_schemas.empty_request_schema()

    def guard(self) -> None:
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            same = site == "same-origin"
        else:
            # A browser too old for Sec-Fetch-Site sends Origin with every post. TLS ends at a proxy, so the
            # scheme that we see says nothing.
            schemes = ("https", "http") if _is_loopback(request.host) else ("https",)
            same = request.headers.get("Origin") in [f"{scheme}://{request.host}" for scheme in schemes]
        if not same:
            raise CrossOrigin

    def give(self, pair: TokenPair) -> Response:
        response = jsonify(response_schemas.SessionSchema().dump(_facts(pair)))
        for name, value, path in (
            (ACCESS_COOKIE, pair.access_token, "/"),
            (REFRESH_COOKIE, pair.refresh_token, self._path),
        ):
            _set_cookie(response, name, value, path, pair.refresh_expires_in)
        return response

    def refresh_token(self) -> str:
        body.load(self._schema)
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

    def forget(self, response: Response) -> Response:
        for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, self._path)):
            _set_cookie(response, name, "", path, 0)
        return response


def _facts(pair: TokenPair) -> dict[str, Any]:
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
