"""A gateway whose every reply is compared with the document that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.test import TestResponse

from otp_gateway import create_app
from otp_gateway.messages import Message
from tests.api.support import Recorder
from tests.conftest import make_settings

PHONE = "+989123456789"
OWN = {"Sec-Fetch-Site": "same-origin"}
# Headers of HTTP itself: OpenAPI says to leave out Content-Type, and any reply can have the others.
UNSAID = {"Content-Type", "Content-Length", "Date"}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


class Outbox(Recorder):
    """Also does something during a send."""

    during: Callable[[], object] = staticmethod(lambda: None)

    def send(self, message: Message, deadline: float) -> None:
        self.during()
        super().send(message, deadline)


class Document:
    """An OpenAPI document, with its references followed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.whole = document

    def follow(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node itself, or the one that it refers to."""
        if "$ref" not in node:
            return node
        found: Any = self.whole
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return self.follow(found)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, method and operation."""
        for path, item in self.whole["paths"].items():
            for method in METHODS & item.keys():
                yield path, method, item[method]

    def answers(self) -> set[tuple[str, str]]:
        """All possible answers: an operation's id, with a problem's code or the status of a success."""
        found = set()
        for _, _, operation in self.operations():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/problem+json")
                names = content["examples"] if content else [status]
                found |= {(operation["operationId"], name) for name in names}
        return found

    def problems(self) -> list[str]:
        """The names of the schemas of single kinds of problem."""
        return [
            name
            for name, schema in self.whole["components"]["schemas"].items()
            if "const" in schema.get("properties", {}).get("code", {})
        ]

    def check(self, schema: dict[str, Any], value: Any) -> None:
        """Check that the value is as the schema says, formats included."""
        whole = schema | {"components": self.whole["components"]}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)

    def check_reply(self, response: dict[str, Any], reply: TestResponse) -> None:
        """Check that headers and body are as the response says, and that each header is documented."""
        headers = {name: self.follow(header) for name, header in response["headers"].items()}
        missing = {name for name, header in headers.items() if header.get("required")} - set(
            reply.headers.keys()
        )
        assert not missing, f"{reply.status_code} without {missing}"
        unsaid = set(reply.headers.keys()) - headers.keys() - UNSAID
        assert not unsaid, f"{reply.status_code} with {unsaid}"
        for name, header in headers.items():
            for text in reply.headers.getlist(name):
                self.check(header["schema"], int(text) if header["schema"]["type"] == "integer" else text)
        if "content" in response:
            value = reply.get_json() if reply.is_json else reply.get_data(as_text=True)
            self.check(response["content"][reply.mimetype]["schema"], value)
        else:
            assert not reply.data


class Site:
    """The gateway in one process, with the document that it serves."""

    def __init__(self, redis: Any = None, *, configured: Any = True, **variables: object) -> None:
        self.outbox = Outbox()
        self.outbox.configured = configured
        self.cookies = variables.get("AUTH_COOKIES") == "true"
        settings = make_settings(**({"OTP_IP_LIMITS": "1000/minute"} | variables))
        self.app = create_app(settings, redis=redis, sender=self.outbox)
        self.client = self.app.test_client()
        self.document = Document(self.client.get("/openapi.json").get_json())

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """A reply, compared with the document.

        With cookies, our own page is the client, unless headers say otherwise.
        """
        headers = {**(OWN if self.cookies else {}), **options.pop("headers", {})}
        reply = self.client.open(
            path, method=method, base_url="https://localhost", headers=headers, **options
        )
        responses = self.document.whole["paths"][path][method.lower()]["responses"]
        assert str(reply.status_code) in responses, f"{method} {path}: {reply.status_code} is not described"
        self.document.check_reply(responses[str(reply.status_code)], reply)
        return reply

    def send(self, phone: str = PHONE) -> TestResponse:
        return self.ask("POST", "/api/v1/usr/otp", json={"phone_number": phone})

    def verify(self, code: str, phone: str = PHONE) -> TestResponse:
        return self.ask("POST", "/api/v1/usr/otp/verify", json={"phone_number": phone, "code": code})

    def login(self) -> TestResponse:
        self.send()
        return self.verify(self.outbox.code_for(PHONE))

    def post_token(self, path: str, body: dict[str, Any]) -> TestResponse:
        """Refresh or revoke with the token of a reply's body, if it has one; cookies carry theirs."""
        token = {} if self.cookies else {"refresh_token": body.get("refresh_token", "none")}
        return self.ask("POST", path, json=token)

    def me(self, body: dict[str, Any]) -> TestResponse:
        """The id of the user, by the token in a reply's body or by the cookie."""
        token = body.get("access_token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.ask("GET", "/api/v1/usr/me", headers=headers)

    def break_down(self, path: str) -> None:
        """From now on, this route raises an unexpected error."""

        def broken() -> str:
            raise RuntimeError("a fault of the gateway")

        (endpoint,) = {rule.endpoint for rule in self.app.url_map.iter_rules() if rule.rule == path}
        self.app.view_functions[endpoint] = broken
