"""The API as a page for developers: the two calls, the errors, and Swagger UI over our own document."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import Any

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
from markupsafe import Markup, escape

from otp_gateway.api import security_headers
from otp_gateway.api.token_transport import TransportDescription
from otp_gateway.openapi.document import PATH, describe
from otp_gateway.settings import Settings

# The package can also serve its own page. But this page contains a script, which our policy forbids.
FOLDER = str(resources.files("flask_swagger_ui").joinpath("dist"))
FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
# The icons of Swagger UI are in its style sheet.
CHANGES: dict[str, str | None] = {"img-src": "'self' data:"}
# The URL in the samples. The page's script replaces it by the page's own origin.
ORIGIN = "http://127.0.0.1:8000"
LANGUAGES = ("curl", "JavaScript", "Python")
CALLS = {"send": "sendOtp", "verify": "verifyOtp"}

Document = dict[str, Any]


def install(app: Flask, settings: Settings, transport: TransportDescription) -> None:
    """Serve the page at /docs, about the API as it is configured."""
    docs = Blueprint("docs", __name__, url_prefix="/docs", template_folder="templates")
    # The page is made once, at the first request, like the document itself.
    contents = functools.cache(lambda: _contents(settings, describe(settings, transport)))

    @docs.get("")
    def page() -> Response:
        response = make_response(render_template("docs.html", document=PATH, **contents()))
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
        # A browser requests it each time (the ETag saves the transfer). So page and script are from the same
        # release.
        response.cache_control.no_cache = True
        return security_headers.protect(response, CHANGES)

    app.register_blueprint(docs)


def _contents(settings: Settings, document: Document) -> dict[str, Any]:
    values = {
        "origin": ORIGIN,
        "cookies": settings.auth_cookies,
        "code": "1234567890"[: settings.otp_length],
    }
    return {
        "cookies": settings.auth_cookies,
        "languages": LANGUAGES,
        "samples": {
            call: {
                language: render_template(f"samples/{call}.{language.lower()}.txt", **values)
                for language in LANGUAGES
            }
            for call in CALLS
        },
        "replies": {call: _sample_reply(document, operation) for call, operation in CALLS.items()},
        "errors": _errors(document),
        "formatted": formatted,
    }


def _errors(document: Document) -> list[tuple[int, str, str]]:
    """Status, code and meaning of each kind of problem."""
    schemas = document["components"]["schemas"].values()
    kinds = [schema for schema in schemas if "const" in schema["properties"].get("code", {})]
    return [
        (kind["properties"]["status"]["const"], kind["properties"]["code"]["const"], kind["description"])
        for kind in kinds
    ]


def _sample_reply(document: Document, operation_id: str) -> str:
    """The successful reply of an operation, made from the examples in its schema."""

    def example(schema: Document) -> Any:
        if "$ref" in schema:
            return example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if "properties" in schema:
            return {name: example(member) for name, member in schema["properties"].items()}
        return schema.get("examples", ["…"])[0]

    operations = (operation for path in document["paths"].values() for operation in path.values())
    (operation,) = (found for found in operations if found["operationId"] == operation_id)
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return json.dumps(example(schema), ensure_ascii=False, indent=2)


def formatted(text: str) -> Markup:
    """A meaning as HTML. The only Markdown in it is code between backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped
