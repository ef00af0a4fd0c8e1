"""The sender of SMS_HTTP_*: its requests, and how it reads the reply."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from otp_gateway.errors import SmsFailed, SmsNotConfigured, SmsUnconfirmed
from otp_gateway.model import PhoneNumber
from tests.conftest import make_settings
from tests.senders.support import CODE, PHONE, Timed, failure, message_to, refusing, send, sender_for, silent
from tests.support.servers import LoopbackServer

JSON = '{"to": "{phone}", "text": "{message}", "id": "{reference}"}'
FORM = '{"Content-Type": "application/x-www-form-urlencoded"}'
SECRET = b"k" * 32


class Provider:
    """An HTTP server that keeps its requests, and answers with ``reply``."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reply: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.before: Any = lambda _handler: True
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                provider.requests.append((self.command, self.path, headers, body))
                if not provider.before(self):
                    self.close_connection = True
                    return
                status, text, more = provider.reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST  # noqa: N815  # http.server looks for this name
            do_PUT = do_POST  # noqa: N815  # as above

            def log_message(self, *_: Any, **__: Any) -> None:
                pass

        self.server = LoopbackServer(lambda connection, address: Handler(connection, address, self.server))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    found.server.start()
    yield found
    found.server.stop()


def sender_at(url: str, **variables: str) -> Timed:
    defaults = {"SMS_HTTP_URL": f"{url}/send", "SMS_HTTP_BODY": JSON, "SMS_TIMEOUT": "1"}
    return sender_for(make_settings(SMS_BACKEND="http", **defaults | variables))


def test_a_json_body_holds_the_whole_text_whatever_is_in_it(provider: Provider) -> None:
    text = 'کد "{code}" \\\\ &\\nدوم'
    send(sender_at(provider.url, OTP_MESSAGE=text, OTP_WEB_DOMAIN="example.com"), reference=7)
    ((method, path, headers, body),) = provider.requests
    assert (method, path, headers["content-type"]) == ("POST", "/send", "application/json")
    assert json.loads(body) == {
        "to": PHONE.e164,
        "text": f'کد "{CODE}" \\ &\nدوم\n\n@example.com #{CODE}',
        "id": "7",
    }


def test_a_form_and_a_url_escape_their_values(provider: Provider) -> None:
    sender = sender_at(
        provider.url,
        SMS_HTTP_URL=f"{provider.url}/a/{{phone}}?via={{channel}}",
        SMS_HTTP_HEADERS=FORM,
        SMS_HTTP_BODY="to={phone_local}&text={message}",
        OTP_MESSAGE="a&b=c+d {code}%",
    )
    send(sender)
    ((_, path, headers, body),) = provider.requests
    assert path == "/a/%2B989123456789?via=sms"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode()) == {"to": ["09123456789"], "text": [f"a&b=c+d {CODE}%"]}


def test_get_has_no_body_and_everything_in_the_url(provider: Provider) -> None:
    sender = sender_at(
        provider.url,
        SMS_HTTP_METHOD="GET",
        SMS_HTTP_BODY="",
        SMS_HTTP_URL=f"{provider.url}/send?to={{phone}}&code={{code}}&ref={{reference}}",
        SMS_HTTP_HEADERS='{"Authorization": "Bearer KEY"}',
    )
    send(sender)
    ((method, path, headers, body),) = provider.requests
    assert (method, body, headers["authorization"]) == ("GET", b"", "Bearer KEY")
    assert parse_qs(urlsplit(path).query)["code"] == [CODE]
    assert "content-type" not in headers


def test_the_signature_is_that_of_standard_webhooks(provider: Provider) -> None:
    secret = "whsec_" + base64.b64encode(SECRET).decode()
    send(sender_at(provider.url, SMS_HTTP_SECRET=secret), reference=42)
    ((_, _, headers, body),) = provider.requests
    moment = headers["webhook-timestamp"]
    assert headers["webhook-id"] == "msg_42"
    assert abs(int(moment) - time.time()) < 60
    signed = f"msg_42.{moment}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_numbers_of_other_countries_have_their_own_national_format(provider: Provider) -> None:
    body = '{"to": "{phone_local}", "text": "{code}"}'
    send(sender_at(provider.url, SMS_HTTP_BODY=body, OTP_REGIONS="*"), PhoneNumber("+4915123456789"))
    assert json.loads(provider.requests[0][3])["to"] == "015123456789"


@pytest.mark.parametrize(
    ("rule", "status", "body", "expected"),
    [
        ("2xx", 200, b"", (None, None)),
        ("2xx", 204, b"", (None, None)),
        ("2xx", 202, b"anything", (None, None)),
        ("2xx", 400, b"{}", (SmsFailed, 400)),
        ("2xx", 404, b"<html>", (SmsFailed, 404)),
        ("2xx", 500, b"{}", (SmsUnconfirmed, None)),
        ("2xx", 302, b"", (SmsUnconfirmed, None)),
        ("status=1", 200, b'{"status": 1}', (None, None)),
        ("status=1", 200, b'{"status": "1"}', (None, None)),
        ("ok=true", 200, b'{"ok": true}', (None, None)),
        ("return.status=200", 200, b'{"return": {"status": 200}}', (None, None)),
        ("status=1", 200, b'{"status": 14}', (SmsFailed, 14)),
        ("status=1", 200, b'{"status": "no credit"}', (SmsFailed, None)),
        ("status=1", 500, b'{"status": 0}', (SmsFailed, 0)),
        ("status=1", 200, b"{}", (SmsUnconfirmed, None)),
        ("status=1", 200, b"<html>", (SmsUnconfirmed, None)),
        ("status=1", 200, b"[" * 100_000, (SmsUnconfirmed, None)),
        ("status=1", 500, b"{}", (SmsUnconfirmed, None)),
        ("status=1", 403, b"<html>", (SmsFailed, 403)),
        ("a.b=1", 200, b'{"a": [1]}', (SmsUnconfirmed, None)),
    ],
)
def test_only_the_rule_or_a_definite_refusal_decides(
    provider: Provider,
    rule: str,
    status: int,
    body: bytes,
    expected: tuple[type[Exception] | None, int | None],
) -> None:
    kind, code = expected
    provider.reply = (status, b"" if status == 204 else body, {})
    sender = sender_at(provider.url, SMS_HTTP_SENT=rule)
    if kind is None:
        assert send(sender).backend == "http"
        return
    error = failure(sender)
    assert (type(error), error.provider_code, error.backend) == (kind, code, "http")
    assert len(provider.requests) == 1


def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.reply = (307, b"", {"Location": f"{provider.url}/elsewhere"})
    assert isinstance(failure(sender_at(provider.url)), SmsUnconfirmed)
    assert len(provider.requests) == 1


def test_a_port_that_refuses_has_definitely_sent_nothing() -> None:
    with refusing() as url:
        error = failure(sender_at(url))
    assert (error.definite, error.reason) == (True, "unreachable")


@pytest.mark.parametrize("full", [True, False])
def test_a_provider_that_hangs_is_given_up_at_the_deadline(full: bool) -> None:  # a parameter
    with silent(full=full) as url:
        error = failure(sender_at(url))
    # A full backlog takes no connection, so no request was sent.
    assert error.definite is full


def drop(_handler: BaseHTTPRequestHandler) -> bool:
    return False


def drip(handler: BaseHTTPRequestHandler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.1)
    return False


def flood(handler: BaseHTTPRequestHandler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(64):
        handler.wfile.write(b"x" * 2**20)
    return False


def junk(handler: BaseHTTPRequestHandler) -> bool:
    handler.wfile.write(b"no HTTP at all\r\n\r\n")
    return False


@pytest.mark.parametrize("fault", [drop, drip, flood, junk])
def test_a_reply_that_never_comes_whole_leaves_the_send_unconfirmed(provider: Provider, fault: Any) -> None:
    provider.before = fault
    error = failure(sender_at(provider.url, SMS_HTTP_SENT="status=1"))
    assert isinstance(error, SmsUnconfirmed)
    assert len(provider.requests) == 1


def test_no_error_holds_the_key_the_code_or_the_phone(provider: Provider) -> None:
    provider.reply = (400, f'{{"error": "{CODE} to {PHONE.e164} with KEY"}}'.encode(), {})
    sender = sender_at(provider.url, SMS_HTTP_HEADERS='{"Authorization": "KEY"}')
    error = failure(sender)
    text = f"{error!r} {error} {error.__dict__} {error.__cause__} {error.__context__}"
    assert not any(secret in text for secret in ("KEY", CODE, PHONE.e164[3:]))


def test_without_a_url_nothing_is_configured() -> None:
    sender = sender_for(make_settings(SMS_BACKEND="http"))
    assert not sender.configured
    with pytest.raises(SmsNotConfigured):
        send(sender)


def test_sends_in_parallel_keep_their_values_apart(provider: Provider) -> None:
    sender = sender_at(provider.url)
    threads = [
        threading.Thread(
            target=sender.send, args=(message_to(PhoneNumber(f"+98912000{n:04d}"), code=f"{n:06d}"),)
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = [json.loads(body) for _, _, _, body in provider.requests]
    assert {body["to"][-4:] for body in bodies} == {body["text"][-4:] for body in bodies}
    assert len(bodies) == 20
    assert all(body["text"].endswith(body["to"][-4:]) for body in bodies)
