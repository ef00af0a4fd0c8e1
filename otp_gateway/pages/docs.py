"""The interface as a page for people: Swagger UI over our own document, from our own origin."""

from __future__ import annotations

from importlib import resources

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    make_response,
    render_template,
    request,
    send_from_directory,
)

from otp_gateway.api import security_headers

# The package would serve a page of its own as well, but with a script in it, which our policy forbids.
FOLDER = str(resources.files("flask_swagger_ui").joinpath("dist"))
FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
# Its icons stand in its style sheet.
CHANGES: dict[str, str | None] = {"img-src": "'self' data:"}


def install(app: Flask, *, document: str) -> None:
    """Serve the page at /docs. ``document`` is the path of what it shows."""
    docs = Blueprint("docs", __name__, url_prefix="/docs", template_folder="templates")

    @docs.get("")
    def page() -> Response:
        response = make_response(render_template("docs.html", document=document))
        response.headers["Content-Language"] = "en"
        response.add_etag()
        response.make_conditional(request)
        return response

    @docs.get("/<name>")
    def file(name: str) -> Response:
        if name not in FILES:
            abort(404)
        return send_from_directory(FOLDER, name)

    @docs.after_request
    def protect(response: Response) -> Response:
        # Asked for anew each time (the ETag spares the transfer): page and script are of one release.
        response.cache_control.no_cache = True
        return security_headers.protect(response, CHANGES)

    app.register_blueprint(docs)
