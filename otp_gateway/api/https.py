"""For a gateway behind a proxy with https: browsers use only https, and no redirect leads to http."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.routing import RequestRedirect

# Two years. Subdomains are not included, because this gateway must not decide about them.
HSTS = {"Strict-Transport-Security": "max-age=63072000"}


def install(app: Flask, trusted_proxies: int) -> None:
    """Add the headers to every reply, and make the router's redirects relative."""
    headers = transport_security(trusted_proxies)

    def secure(response: Response) -> Response:
        response.headers.update(headers)
        return _relative(response)

    app.after_request(secure)


def transport_security(trusted_proxies: int) -> dict[str, str]:
    """The headers that make browsers use https. Only a proxy adds TLS, so without a proxy there are none."""
    return HSTS if trusted_proxies else {}


def _relative(response: Response) -> Response:
    """Make a redirect relative.

    Werkzeug's redirect from /admin has the scheme of the last hop, which is http.
    """
    if isinstance(request.routing_exception, RequestRedirect) and 300 <= response.status_code < 400:
        target = urlsplit(response.headers["Location"])
        # The path begins with one slash. After two slashes, or after a backslash, a browser reads a host.
        path = "/" + target.path.lstrip("/\\")
        response.headers["Location"] = f"{path}?{target.query}" if target.query else path
        # The body also has the URL.
        response.set_data(b"")
        del response.headers["Content-Type"]
    return response
