"""An emulator of Kavenegar's REST API over real HTTP, in the formats of the provider's document."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.servers import LoopbackServer

if TYPE_CHECKING:
    import socket

# Error texts are for people, and Kavenegar changes them. Clients compare only the number.
_MESSAGES = {
    200: "تایید شد",
    400: "پارامترها ناقص هستند",
    401: "حساب کاربری غیرفعال شده است",
    402: "عملیات ناموفق بود",
    403: "کد شناسائی API-Key معتبر نمی‌باشد",
    404: "متد نامشخص است",
    409: "سرور قادر به پاسخگوئی نیست بعدا تلاش کنید",
    411: "دریافت کننده نامعتبر است",
    412: "ارسال کننده نامعتبر است",
    413: "پیام خالی است و یا طول پیام بیش از حد مجاز می‌باشد",
    414: "حجم درخواست بیشتر از حد مجاز است",
    418: "اعتبار شما کافی نمی‌باشد",
    424: "الگوی مورد نظر پیدا نشد",
    431: "ساختار کد صحیح نمی‌باشد",
}
_STATUS_TEXTS = {
    1: "در صف ارسال",
    5: "ارسال به مخابرات",
    6: "خطا در ارسال",
    10: "رسیده به گیرنده",
    11: "نرسیده به گیرنده",
    13: "لغو شده",
    14: "بلاک شده است",
    100: "شناسه پیامک نامعتبر است",
}
_SENDER = "10004346"
_COST = 120
_MAX_RECEPTORS = 200
_MAX_MESSAGE = 900
_MAX_LOCALID = 2**63 - 1
# Spaces that each parameter of a template may hold.
_TOKEN_SPACES = {"token": 0, "token2": 0, "token3": 0, "token10": 5, "token20": 8}
_UNSAYABLE = {204, 205, 304}

_JSON = "application/json; charset=utf-8"
Fault = Callable[["Call"], None]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came. Header names are in lower case; `action` is like "sms/send"."""

    method: str
    path: str
    action: str
    form: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Sms:
    """One message that was really sent to one phone; `text` is the token of a lookup."""

    receptor: str
    text: str
    action: str
    type: str = "sms"
    template: str | None = None
    localid: str | None = None
    sender: str | None = None


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, payload: object, status: int) -> Self:
        """JSON as Kavenegar writes it. A status that HTTP does not allow with a body becomes 200."""
        sayable = 200 <= status <= 999 and status not in _UNSAYABLE
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return cls(status if sayable else 200, text.encode())

    def head(self, length: int | None) -> bytes:
        """Status line and headers. Without a `length`, the body ends when the connection closes."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        framing = ("Connection", "close") if length is None else ("Content-Length", str(length))
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        for name, value in (("Content-Type", self.content_type), framing, *self.headers):
            lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class KavenegarEmulator:
    """Kavenegar on 127.0.0.1 and a free port; a context manager. Any thread can use it."""

    def __init__(self, api_key: str = "4B5A6C7D8E9F-test-key") -> None:
        self.api_key = api_key
        self._lock = threading.RLock()
        self._requests: list[Request] = []
        self._messages: list[Sms] = []
        self._ids = itertools.count(8_792_343)
        self._by_messageid: dict[str, Entry] = {}
        self._by_localid: dict[str, list[Entry]] = {}
        self._fault: Fault | None = None
        self._fault_times: int | None = None
        self._fault_action: str | None = None
        self._actions: dict[str, Callable[[dict[str, str], bool], object]] = {
            "sms/send": self._send,
            "sms/status": self._status,
            "sms/statuslocalmessageid": self._status_by_localid,
            "sms/latestoutbox": self._latest,
            "verify/lookup": self._lookup,
            "account/info": self._info,
        }
        self._server = LoopbackServer(partial(_Handler, self))

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def requests(self) -> list[Request]:
        """Every request so far, refused and faulty ones included."""
        with self._lock:
            return list(self._requests)

    @property
    def messages(self) -> list[Sms]:
        """Every message that was sent so far."""
        with self._lock:
            return list(self._messages)

    def messages_to(self, e164: str) -> list[Sms]:
        """The messages that were sent to one phone, oldest first."""
        return [message for message in self.messages if message.receptor == e164]

    def code_for(self, e164: str) -> str:
        """The code in the last message to this phone; LookupError if there is no message."""
        messages = self.messages_to(e164)
        codes = re.findall(r"(?<![0-9])[0-9]{6,10}(?![0-9])", messages[-1].text if messages else "")
        if not codes:
            raise LookupError(f"no code went out to {e164}")
        return str(codes[-1])

    def clear(self) -> None:
        """Forget all requests, messages and localids, and end the fault."""
        with self._lock:
            self._requests.clear()
            self._messages.clear()
            self._by_messageid.clear()
            self._by_localid.clear()
            self.set_fault(None)

    @property
    def fault(self) -> Fault | None:
        """The fault that replaces the answer to requests. None: requests are answered."""
        with self._lock:
            return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.set_fault(fault)

    def set_fault(self, fault: Fault | None, *, times: int | None = None, action: str | None = None) -> None:
        """Set a fault of `kavenegar_faults`, for `times` requests or until it is changed, for one action."""
        with self._lock:
            self._fault, self._fault_times, self._fault_action = fault, times, action

    def start(self) -> None:
        """Accept connections."""
        self._server.start()

    def stop(self) -> None:
        """Close every connection, those of hanging requests included."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float) -> None:
        """Sleep, but not after the emulator stops."""
        self._server.closing.wait(seconds)

    def receive(self, request: Request) -> Fault:
        """Record a request, and return its fault."""
        with self._lock:
            self._requests.append(request)
            meant = self._fault_action in (None, request.action)
            if self._fault is None or not meant or self._fault_times == 0:
                return _answer
            if self._fault_times is not None:
                self._fault_times -= 1
            return self._fault

    def answer(self, request: Request, *, deliver: bool = True) -> dict[str, Any]:
        """Do what the request says. Without `deliver`, no message is sent or remembered."""
        try:
            action = self._action(request.path)
            with self._lock:
                return envelope(200, action(request.form, deliver))
        except _Refused as refusal:
            return envelope(refusal.code)

    def _action(self, path: str) -> Callable[[dict[str, str], bool], object]:
        key, action = _split(path)
        if key != self.api_key:
            raise _Refused(403)
        if action not in self._actions:
            raise _Refused(404)
        return self._actions[action]

    def _send(self, form: dict[str, str], deliver: bool) -> list[Entry]:
        _check_send(form)
        localid = form.get("localid")
        if localid in self._by_localid:
            return self._by_localid[localid]
        message, sender = form["message"], form.get("sender")
        phones = [to_e164(receptor) for receptor in form["receptor"].split(",")]
        entries = [self._entry(phone, message, sender or _SENDER, status=1) for phone in phones]
        if deliver:
            if localid is not None:
                self._by_localid[localid] = entries
            for phone, entry in zip(phones, entries, strict=True):
                self._deliver(Sms(phone, message, "sms/send", localid=localid, sender=sender), entry)
        return entries

    def _lookup(self, form: dict[str, str], deliver: bool) -> list[Entry]:
        if not all(form.get(name) for name in ("receptor", "template", "token")):
            raise _Refused(400)
        for name, spaces in _TOKEN_SPACES.items():
            token = form.get(name, "")
            if len(token) > 100 or token.count(" ") > spaces or re.search(r"[\n\r_]", token):
                raise _Refused(431)
        kind = form.get("type", "sms")
        if kind not in ("sms", "call"):
            raise _Refused(400)
        phone = to_e164(form["receptor"])
        text = f"{form['template']}: {form['token']}"
        entry = self._entry(phone, text, _SENDER, status=5)
        if deliver:
            sms = Sms(phone, form["token"], "verify/lookup", kind, form["template"])
            self._deliver(sms, entry)
        return [entry]

    def _info(self, _form: dict[str, str], _deliver: bool) -> Entry:
        return {"remaincredit": 1_500_000, "expiredate": 13_548_889, "type": "master"}

    def _status(self, form: dict[str, str], _deliver: bool) -> list[Entry]:
        if not form.get("messageid"):
            raise _Refused(400)
        found = []
        for messageid in form["messageid"].split(","):
            status = self._by_messageid.get(messageid, {"status": 100})["status"]
            found.append({"messageid": _number(messageid), "status": status, "statustext": text_of(status)})
        return found

    def _status_by_localid(self, form: dict[str, str], _deliver: bool) -> list[Entry]:
        if not form.get("localid"):
            raise _Refused(400)
        return [
            {
                "messageid": entry["messageid"],
                "localid": _number(localid),
                "status": entry["status"],
                "statustext": text_of(entry["status"]),
            }
            for localid in form["localid"].split(",")
            for entry in self._by_localid.get(localid, [{"messageid": 0, "status": 100}])
        ]

    def _latest(self, form: dict[str, str], _deliver: bool) -> list[Entry]:
        size = _number(form.get("pagesize", "500")) or 500
        return list(reversed(self._by_messageid.values()))[:size]

    def _entry(self, phone: str, message: str, sender: str, status: int) -> Entry:
        return {
            "messageid": next(self._ids),
            "message": message,
            "status": status,
            "statustext": text_of(status),
            "sender": sender,
            "receptor": to_receptor(phone),
            "date": int(time.time()),
            "cost": _COST,
        }

    def _deliver(self, sms: Sms, entry: Entry) -> None:
        self._by_messageid[str(entry["messageid"])] = entry
        self._messages.append(sms)


@dataclass(frozen=True)
class Call:
    """One request that a fault handles: what the fault can do with it and with its connection."""

    request: Request
    emulator: KavenegarEmulator
    _handler: _Handler

    def answer(self, *, deliver: bool = True) -> dict[str, Any]:
        """Do what the request says; return the payload of a normal reply."""
        return self.emulator.answer(self.request, deliver=deliver)

    def wait(self, seconds: float) -> None:
        """Sleep, but not after the emulator stops."""
        self.emulator.wait(seconds)

    def send(self, reply: Reply) -> None:
        """Answer, and keep the connection if the client asks for that."""
        self.write(reply.head(len(reply.body)) + reply.body)
        self._handler.keep()

    def write(self, data: bytes) -> None:
        """Send raw bytes. Without a `send`, the connection closes after the fault."""
        self._handler.wfile.write(data)


class _Refused(Exception):
    """Kavenegar's own refusal."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive for the emulator."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, emulator: KavenegarEmulator, connection: socket.socket, address: Any) -> None:
        self._emulator = emulator
        self._keep_alive = False
        super().__init__(connection, address, emulator._server)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        if self.headers.get_content_type() == "application/x-www-form-urlencoded":
            form += parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        request = Request(
            method=self.command,
            path=self.path,
            action=_split(self.path)[1],
            form=dict(form),
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        self._keep_alive = not self.close_connection
        self.close_connection = True
        self._emulator.receive(request)(Call(request, self._emulator, self))

    do_GET = do_POST  # noqa: N815  # http.server looks for this name

    def keep(self) -> None:
        self.close_connection = not self._keep_alive

    def log_message(self, *_: Any, **__: Any) -> None:
        pass


def envelope(status: int | str, entries: object = None) -> dict[str, Any]:
    """The frame around every reply; `entries` is null in an error."""
    message = _MESSAGES.get(int(status), "خطا")
    return {"return": {"status": status, "message": message}, "entries": entries}


def text_of(status: int) -> str:
    """The text that goes with an entry's delivery status."""
    return _STATUS_TEXTS.get(status, "نامشخص")


def to_e164(receptor: str) -> str:
    """A receptor in one of the documented formats as E.164; refused (411) in any other."""
    if iranian := re.fullmatch(r"(?:0|\+98|0098)?(9[0-9]{9})", receptor):
        return f"+98{iranian[1]}"
    if foreign := re.fullmatch(r"00((?!98)[1-9][0-9]{6,14})", receptor):
        return f"+{foreign[1]}"
    raise _Refused(411)


def to_receptor(e164: str) -> str:
    """A phone in the format of Kavenegar's entries: 09… in Iran, 00… abroad."""
    return f"0{e164[3:]}" if e164.startswith("+98") else f"00{e164[1:]}"


def _answer(call: Call) -> None:
    payload = call.answer()
    call.send(Reply.of(payload, payload["return"]["status"]))


def _check_send(form: dict[str, str]) -> None:
    localid = form.get("localid", "0")
    if not form.get("receptor") or not form.get("message"):
        raise _Refused(400)
    if form.get("sender") == "":
        raise _Refused(412)
    if len(form["message"]) > _MAX_MESSAGE:
        raise _Refused(413)
    if not re.fullmatch(r"[0-9]+", localid) or int(localid) > _MAX_LOCALID:
        raise _Refused(400)
    if form["receptor"].count(",") >= _MAX_RECEPTORS:
        raise _Refused(414)


def _split(path: str) -> tuple[str, str]:
    """Key and action of a path such as /v1/KEY/sms/send.json; empty ones for any other path."""
    found = re.fullmatch(r"/v1/([^/]+)/([a-z]+/[a-z]+)\.json", urlsplit(path).path)
    return (unquote(found[1]), found[2]) if found else ("", "")


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]+", text) else 0
