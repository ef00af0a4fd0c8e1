"""Faults for the Kavenegar emulator: each function makes one, for `KavenegarEmulator.fault`.

`deliver` says whether the message is sent nevertheless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.kavenegar import Reply, envelope, text_of

if TYPE_CHECKING:
    from tests.support.kavenegar import Call, Fault

_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
# Entry states in which Kavenegar has accepted the message.
_TAKEN = {1, 2, 4, 5, 10}


def code(status: int, *, http: int | None = None, as_text: bool = False) -> Fault:
    """Kavenegar's result `status`: the normal answer for 200; for all others, the message is not delivered.

    `http` is the HTTP status, which is the same number by default; `as_text` writes "200" for 200.
    """

    def fault(call: Call) -> None:
        payload = call.answer() if status == 200 else envelope(status)
        # The request may be a bad one, which the normal answer refuses.
        result = payload["return"]["status"]
        if as_text:
            payload["return"]["status"] = str(result)
        call.send(Reply.of(payload, result if http is None else http))

    return fault


def entry_status(status: int, *, deliver: bool | None = None) -> Fault:
    """Result 200 and this delivery status in every entry; delivered if the status says so."""

    def fault(call: Call) -> None:
        payload = call.answer(deliver=status in _TAKEN if deliver is None else deliver)
        state = {"status": status, "statustext": text_of(status)}
        if isinstance(payload["entries"], list):
            payload["entries"] = [{**entry, **state} for entry in payload["entries"]]
        call.send(Reply.of(payload, payload["return"]["status"]))

    return fault


def wrong_receptor(receptor: str = "09120000000", *, deliver: bool = False) -> Fault:
    """The record of another user's message, as if two senders had drawn the same localid."""

    def fault(call: Call) -> None:
        payload = call.answer(deliver=deliver)
        if isinstance(payload["entries"], list):
            payload["entries"] = [{**entry, "receptor": receptor} for entry in payload["entries"]]
        call.send(Reply.of(payload, payload["return"]["status"]))

    return fault


def html(status: int = 502, *, deliver: bool = False) -> Fault:
    """An HTML page, as from a proxy in between."""
    return _canned(Reply(status, _HTML.format(status).encode(), "text/html"), deliver)


def empty(status: int = 200, *, deliver: bool = False) -> Fault:
    """No body."""
    return _canned(Reply(status, b""), deliver)


def invalid_json(status: int = 200, *, deliver: bool = False) -> Fault:
    """JSON that is cut off in the middle."""
    return _canned(Reply(status, b'{"return":{"status":200,"mess'), deliver)


def no_return(status: int = 200, *, deliver: bool = False) -> Fault:
    """Valid JSON without `return`."""
    return _canned(Reply.of({"entries": []}, status), deliver)


def http_error(status: int = 500, *, as_json: bool = False, deliver: bool = False) -> Fault:
    """A server error, as an HTML page or as JSON of another shape."""
    if not as_json:
        return html(status, deliver=deliver)
    return _canned(Reply.of({"Message": "An error has occurred."}, status), deliver)


def redirect(location: str = "/elsewhere", status: int = 302) -> Fault:
    """Redirect the client to `location`. If it follows, the emulator records its request."""

    def fault(call: Call) -> None:
        # A client that follows gets an error here, not a loop.
        if call.request.path == location:
            call.send(Reply(404, b"", "text/html"))
        else:
            call.send(Reply(status, b"", "text/html", (("Location", location),)))

    return fault


def slow(seconds: float, *, deliver: bool = True) -> Fault:
    """The message is sent at once; the normal answer comes late."""

    def fault(call: Call) -> None:
        payload = call.answer(deliver=deliver)
        call.wait(seconds)
        call.send(Reply.of(payload, payload["return"]["status"]))

    return fault


def hang(seconds: float = 60, *, deliver: bool = False) -> Fault:
    """No answer; the connection closes after `seconds`."""

    def fault(call: Call) -> None:
        if deliver:
            call.answer()
        call.wait(seconds)

    return fault


def drop(*, deliver: bool = False) -> Fault:
    """The connection closes without an answer."""
    return hang(0, deliver=deliver)


def drip_body(interval: float = 0.2, *, deliver: bool = True) -> Fault:
    """A normal answer whose body comes byte by byte."""

    def fault(call: Call) -> None:
        payload = call.answer(deliver=deliver)
        reply = Reply.of(payload, payload["return"]["status"])
        call.write(reply.head(len(reply.body)))
        _drip(call, reply.body, interval)

    return fault


def drip_headers(interval: float = 0.2, *, deliver: bool = True) -> Fault:
    """A normal answer that comes byte by byte from its status line on."""

    def fault(call: Call) -> None:
        payload = call.answer(deliver=deliver)
        reply = Reply.of(payload, payload["return"]["status"])
        _drip(call, reply.head(len(reply.body)) + reply.body, interval)

    return fault


def huge(megabytes: int = 50, *, deliver: bool = False) -> Fault:
    """An endless body with no declared length. A reader without a limit reads all of it."""

    def fault(call: Call) -> None:
        if deliver:
            call.answer()
        call.write(Reply(200, b"").head(None) + b'{"return":{"status":200,"message":"')
        for _ in range(megabytes):
            call.write(b"x" * 2**20)

    return fault


def _canned(reply: Reply, deliver: bool) -> Fault:
    def fault(call: Call) -> None:
        if deliver:
            call.answer()
        call.send(reply)

    return fault


def _drip(call: Call, data: bytes, interval: float) -> None:
    for byte in data:
        call.write(bytes([byte]))
        call.wait(interval)
