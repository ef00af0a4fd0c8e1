"""Emulators of SMS providers over real HTTP, each in the formats of the provider's own document.

The documents: Twilio's page "Messages resource" and the recorded replies of twilio-php. SMS.ir's page
apidocs.sms.ir and its SDK SmsPanelV2.Python. IPPanel's Edge-Document. Ghasedak's page "docs" and its SDK
ghasedaksms-php. Melipayamak's page "GetCredit" (the members of each REST reply) and its SDK
melipayamak-python.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.servers import LoopbackServer

if TYPE_CHECKING:
    import socket

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
E164 = re.compile(r"\+[1-9][0-9]{7,14}")
IRANIAN = re.compile(r"(?:\+98|0)9[0-9]{9}")
LOCAL = re.compile(r"09[0-9]{9}")


class Refused(Exception):
    """The provider refuses the call: with this HTTP status, and this reply."""

    def __init__(self, status: int, reply: Any) -> None:
        super().__init__(status)
        self.status = status
        self.reply = reply


@dataclass(frozen=True)
class HttpCall:
    """One request; header names are in lower case. ``fields``: the members of its query, form or JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    fields: dict[str, Any]


@dataclass(frozen=True)
class Sms:
    """A message that was sent.

    ``text``: the whole text, or only the code if the provider fills a template.
    """

    phone: str
    text: str
    reference: str = ""


# Takes a call; the HTTP status, the reply and the message. Raises ``Refused``.
Handler = Callable[[HttpCall], tuple[int, Any, Sms]]


class Provider:
    """One provider on 127.0.0.1 and a free port; a context manager. ``refuse`` replaces each reply."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self.calls: list[HttpCall] = []
        self.messages: list[Sms] = []
        self.refuse: tuple[int, Any] | None = None
        self._server = LoopbackServer(partial(_Connection, self))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def answer(self, call: HttpCall) -> tuple[int, Any]:
        """The HTTP status and the reply. Records the call, and the message if it was sent."""
        with self._lock:
            self.calls.append(call)
            if self.refuse is not None:
                return self.refuse
            try:
                status, reply, message = self._handler(call)
            except Refused as refusal:
                return refusal.status, refusal.reply
            self.messages.append(message)
            return status, reply

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, provider: Provider, connection: socket.socket, address: Any) -> None:
        self._provider = provider
        super().__init__(connection, address, provider._server)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        fields = _fields(headers, target.query, body)
        status, reply = self._provider.answer(HttpCall(self.command, target.path, headers, body, fields))
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST  # noqa: N815  # http.server looks for this name

    def log_message(self, *_: Any, **__: Any) -> None:
        pass


def _fields(headers: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if body and headers.get("content-type") == FORM:
        fields |= dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    elif body:
        fields |= json.loads(body)
    return fields


@dataclass
class Twilio:
    """POST /2010-04-01/Accounts/{sid}/Messages.json: a form, with the SID and the token as HTTP Basic."""

    sid: str
    token: str

    def __call__(self, call: HttpCall) -> tuple[int, Any, Sms]:
        user = b64encode(f"{self.sid}:{self.token}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {user}":
            raise self._refusal(401, 20003, "Authenticate")
        if (call.method, call.path) != ("POST", f"/2010-04-01/Accounts/{self.sid}/Messages.json"):
            raise Refused(404, {"status": 404})
        to, text = call.fields.get("To", ""), call.fields.get("Body", "")
        if not E164.fullmatch(to):
            raise self._refusal(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if not (call.fields.get("From") or call.fields.get("MessagingServiceSid")):
            raise self._refusal(400, 21606, "The From phone number is not valid")
        if not 0 < len(text) <= 1600:
            raise self._refusal(400, 21602, "Message body is required")
        reply = {"sid": f"SM{'a' * 32}", "status": "queued", "to": to, "body": text, "error_code": None}
        return 201, reply, Sms(to, text)

    @staticmethod
    def _refusal(status: int, code: int, text: str) -> Refused:
        more = f"https://www.twilio.com/docs/errors/{code}"
        return Refused(status, {"code": code, "message": text, "more_info": more, "status": status})


@dataclass
class SmsIr:
    """POST /v1/send/verify: JSON, with the key in X-API-KEY. Members are read without regard to case.

    The document gives the HTTP status of each kind of refusal, but not the number in ``status``. Here it is
    0, as an example of any number except 1.
    """

    key: str
    template: int
    parameter: str

    def __call__(self, call: HttpCall) -> tuple[int, Any, Sms]:
        if call.headers.get("x-api-key") != self.key:
            raise Refused(401, {"status": 0, "message": "کلید وب سرویس نامعتبر است", "data": None})
        fields = {name.lower(): value for name, value in call.fields.items()}
        parameters = {each["name"]: each["value"] for each in fields.get("parameters", [])}
        sound = (
            (call.method, call.path.rstrip("/")) == ("POST", "/v1/send/verify")
            and fields.get("templateid") == self.template
            and set(parameters) == {self.parameter}
            and IRANIAN.fullmatch(str(fields.get("mobile")))
        )
        if not sound:
            raise Refused(400, {"status": 0, "message": "ناموفق", "data": None})
        reply = {"status": 1, "message": "موفق", "data": {"messageId": 89545112, "cost": 1.0}}
        return 200, reply, Sms(fields["mobile"], parameters[self.parameter])


@dataclass
class IpPanel:
    """POST /v1/api/send with a pattern, and GET /v1/api/send/webservice with a text."""

    key: str
    sender: str
    pattern: str = ""
    parameter: str = ""

    def __call__(self, call: HttpCall) -> tuple[int, Any, Sms]:
        by_url = (call.method, call.path) == ("GET", "/v1/api/send/webservice")
        if (call.fields.get("apikey") if by_url else call.headers.get("authorization")) != self.key:
            raise Refused(401, self._meta("400-1", data=None))
        sms = self._by_url(call.fields) if by_url else self._by_pattern(call)
        if not E164.fullmatch(sms.phone) or not sms.text:
            raise Refused(422, self._meta("400-2", data=None))
        return 200, self._meta("200-1", data={"message_outbox_ids": [1123594208]}), sms

    def _by_url(self, fields: Mapping[str, Any]) -> Sms:
        if fields.get("from") != self.sender:
            raise Refused(422, self._meta("400-2", data=None))
        return Sms(fields.get("to", ""), fields.get("message", ""))

    def _by_pattern(self, call: HttpCall) -> Sms:
        fields = call.fields
        fixed = {"sending_type": "pattern", "from_number": self.sender, "code": self.pattern}
        phones, values = fields.get("recipients", []), fields.get("params", {})
        if (call.method, call.path) != ("POST", "/v1/api/send") or not fixed.items() <= fields.items():
            raise Refused(422, self._meta("400-2", data=None))
        if len(phones) != 1 or set(values) != {self.parameter}:
            raise Refused(422, self._meta("400-2", data=None))
        return Sms(phones[0], values[self.parameter])

    @staticmethod
    def _meta(code: str, data: Any) -> dict[str, Any]:
        message = "انجام شد" if data else "اطلاعات وارد شده صحیح نمی باشد"
        meta = {"status": bool(data), "message": message, "message_parameters": [], "message_code": code}
        return {"data": data, "meta": meta}


@dataclass
class Ghasedak:
    """POST /rest/api/v1/WebService/SendOtpSMS: JSON, with the key in the header ApiKey."""

    key: str
    template: str
    parameter: str

    def __call__(self, call: HttpCall) -> tuple[int, Any, Sms]:
        if call.headers.get("apikey") != self.key:
            raise self._refusal(401)
        receptors, inputs = call.fields.get("receptors", []), call.fields.get("inputs", [])
        sound = (
            (call.method, call.path) == ("POST", "/rest/api/v1/WebService/SendOtpSMS")
            and call.fields.get("templateName") == self.template
            and [each["param"] for each in inputs] == [self.parameter]
            and len(receptors) == 1
            and LOCAL.fullmatch(receptors[0]["mobile"])
        )
        if not sound:
            raise self._refusal(400)
        receptor = receptors[0]
        sms = Sms(receptor["mobile"], inputs[0]["value"], receptor.get("clientReferenceId", ""))
        item = {"receptor": sms.phone, "messageId": "23304979", "cost": 840}
        return 200, {"isSuccess": True, "statusCode": 200, "message": "", "data": {"items": [item]}}, sms

    @staticmethod
    def _refusal(status: int) -> Refused:
        return Refused(status, {"isSuccess": False, "statusCode": status, "message": "خطا", "data": None})


@dataclass
class Melipayamak:
    """POST /api/SendSMS/BaseServiceNumber: a form with the account's name and password.

    The document says that RetStatus is 1 if the request succeeds. Here 35 is an example of any other number.
    The HTTP status of such a reply is 200, too.
    """

    username: str
    password: str
    body_id: str
    refused: dict[str, Any] = field(
        default_factory=lambda: {"Value": "0", "RetStatus": 35, "StrRetStatus": "InvalidData"}
    )

    def __call__(self, call: HttpCall) -> tuple[int, Any, Sms]:
        expected = {"username": self.username, "password": self.password, "bodyId": self.body_id}
        sound = (
            (call.method, call.path) == ("POST", "/api/SendSMS/BaseServiceNumber")
            and call.headers.get("content-type") == FORM
            and expected.items() <= call.fields.items()
            and LOCAL.fullmatch(call.fields.get("to", ""))
        )
        if not sound:
            raise Refused(200, self.refused)
        reply = {"Value": "4786346122764072700", "RetStatus": 1, "StrRetStatus": "Ok"}
        return 200, reply, Sms(call.fields["to"], call.fields["text"])
