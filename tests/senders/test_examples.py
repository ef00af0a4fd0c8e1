"""The examples of docs/SENDERS.md, each against an emulator that was written from the provider's document."""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from flask import Flask
from werkzeug.serving import make_server

from otp_gateway.errors import SmsFailed, SmsUnconfirmed
from otp_gateway.settings import Settings
from tests.conftest import SECRET_KEY
from tests.senders.support import CODE, PHONE, Timed, failure, message_to, send, sender_for
from tests.support.gateway import ROOT
from tests.support.sms_providers import (
    Ghasedak,
    Handler,
    IpPanel,
    Melipayamak,
    Provider,
    Sms,
    SmsIr,
    Twilio,
)

DOCUMENT = (ROOT / "docs/SENDERS.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = "^```{}\n(.*?)^```"
LOCAL = "09123456789"
TEXT = f"کد تایید شما: {CODE}"
OWN = "Your own endpoint"


@dataclass(frozen=True)
class Example:
    """The provider of an example, the message that it sends, and the reply to a refused message."""

    provider: Handler
    sms: Sms
    refusal: tuple[int, Any]


IPPANEL_REFUSAL = (422, {"data": None, "meta": {"status": False, "message_code": "400-2"}})
EXAMPLES = {
    "Twilio": Example(
        Twilio("AC" + "0" * 32, "your_auth_token"),
        Sms(PHONE.e164, TEXT),
        (400, {"code": 21211, "status": 400}),
    ),
    "SMS.ir": Example(
        SmsIr("YOUR_API_KEY", 100000, "CODE"), Sms(PHONE.e164, CODE), (400, {"status": 0, "data": None})
    ),
    "IPPanel": Example(
        IpPanel("YOUR_API_KEY", "+983000505", "YOUR_PATTERN", "code"), Sms(PHONE.e164, CODE), IPPANEL_REFUSAL
    ),
    "IPPanel by GET": Example(IpPanel("YOUR_API_KEY", "+983000505"), Sms(PHONE.e164, TEXT), IPPANEL_REFUSAL),
    "Ghasedak": Example(
        Ghasedak("YOUR_API_KEY", "YOUR_TEMPLATE", "Code"),
        Sms(LOCAL, CODE, str(message_to().reference)),
        (200, {"isSuccess": False, "statusCode": 400, "data": None}),
    ),
    "Melipayamak": Example(
        Melipayamak("YOUR_USERNAME", "YOUR_PASSWORD", "12345"),
        Sms(LOCAL, CODE),
        (200, {"Value": "0", "RetStatus": 35, "StrRetStatus": "InvalidData"}),
    ),
}
each_example = pytest.mark.parametrize("name", EXAMPLES)


def block(name: str, language: str) -> str:
    """The first block of this language in a section of the document."""
    sections = dict(SECTION.findall(DOCUMENT))
    found = re.search(BLOCK.format(language), sections[name], re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no block of {language}"
    return found[1]


def settings_of(name: str, base_url: str, folder: Path) -> Settings:
    """The example as an operator's .env file, with the emulator's scheme, host and port."""
    text = block(name, "sh")
    url = re.search(r"^SMS_HTTP_URL='([^']+)'", text, re.MULTILINE)
    assert url
    host = urlsplit(url[1])
    assert host.scheme == "https"
    file = folder / ".env"
    file.write_text(text.replace(f"https://{host.netloc}", base_url), encoding="utf-8")
    return Settings.load({"SECRET_KEY": SECRET_KEY, "SMS_TIMEOUT": "5"}, dotenv=file)


def sender_of(name: str, provider: Provider, folder: Path) -> Timed:
    return sender_for(settings_of(name, provider.base_url, folder))


def test_each_example_of_the_document_has_a_test() -> None:
    sections = dict(SECTION.findall(DOCUMENT))
    examples = {name for name, text in sections.items() if "```sh" in text}
    assert examples == {*EXAMPLES, OWN}


@each_example
def test_an_example_sends_the_message_once(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    with Provider(example.provider) as provider:
        receipt = send(sender_of(name, provider, tmp_path))
        assert receipt.backend == "http"
        assert provider.messages == [example.sms]
        assert len(provider.calls) == 1


@each_example
def test_an_example_sees_that_a_refused_message_was_definitely_not_sent(name: str, tmp_path: Path) -> None:
    with Provider(EXAMPLES[name].provider) as provider:
        provider.refuse = EXAMPLES[name].refusal
        assert isinstance(failure(sender_of(name, provider, tmp_path)), SmsFailed)
        assert provider.messages == []
        assert len(provider.calls) == 1


@each_example
def test_an_example_sees_that_a_wrong_key_sends_nothing(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    text = block(name, "sh")
    secrets = ["YOUR_API_KEY", "YOUR_PASSWORD", "QUMwMDAw"]
    (secret,) = [each for each in secrets if each in text]
    with Provider(example.provider) as provider:
        settings = settings_of(name, provider.base_url, tmp_path)
        file = tmp_path / ".env"
        file.write_text(file.read_text(encoding="utf-8").replace(secret, "QUMxMTEx"), encoding="utf-8")
        assert settings != Settings.load({"SECRET_KEY": SECRET_KEY}, dotenv=file)
        wrong = Settings.load({"SECRET_KEY": SECRET_KEY, "SMS_TIMEOUT": "5"}, dotenv=file)
        assert isinstance(failure(sender_for(wrong)), SmsFailed)
        assert provider.messages == []


@each_example
def test_an_example_does_not_take_a_server_error_for_a_refusal(name: str, tmp_path: Path) -> None:
    with Provider(EXAMPLES[name].provider) as provider:
        provider.refuse = (500, {"Message": "An error has occurred."})
        assert isinstance(failure(sender_of(name, provider, tmp_path)), SmsUnconfirmed)


@pytest.mark.parametrize(
    "message",
    ['{code} "quoted" & = + % # <b>', "خط ۱\n{code}\n\n@example.com #1", "\N{GRINNING FACE} {code} \u200f؟"],
)
@pytest.mark.parametrize("name", [name for name, each in EXAMPLES.items() if each.sms.text == TEXT])
def test_an_example_with_the_text_sends_each_character_of_it(name: str, message: str, tmp_path: Path) -> None:
    with Provider(EXAMPLES[name].provider) as provider:
        settings_of(name, provider.base_url, tmp_path)
        given = {"SECRET_KEY": SECRET_KEY, "OTP_MESSAGE": message}
        send(sender_for(Settings.load(given, dotenv=tmp_path / ".env")))
        assert [sms.text for sms in provider.messages] == [message.replace("{code}", CODE)]


# The reader's own endpoint.


@contextmanager
def endpoint(secret: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The endpoint of the document, as a real server; its URL, and what it delivers."""
    delivered: list[tuple[str, str]] = []
    names: dict[str, Any] = {"deliver": lambda *message: delivered.append(message), "__name__": "endpoint"}
    with patch.dict(os.environ, {"SMS_HTTP_SECRET": secret}):
        exec(compile(block(OWN, "python"), "docs/SENDERS.md", "exec"), names)  # noqa: S102  # the document's own code
    app = names["app"]
    assert isinstance(app, Flask)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}", delivered
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def secret_of_the_document() -> str:
    found = re.search(r"^SMS_HTTP_SECRET='(.+)'$", block(OWN, "sh"), re.MULTILINE)
    assert found
    return found[1]


def test_the_endpoint_of_the_document_delivers_a_signed_message_and_a_repeat_of_it_only_once(
    tmp_path: Path,
) -> None:
    with endpoint(secret_of_the_document()) as (url, delivered):
        sender = sender_for(settings_of(OWN, url, tmp_path))
        send(sender)
        send(sender)
        assert delivered == [(PHONE.e164, TEXT)]
        send(sender, reference=4)
        assert delivered == [(PHONE.e164, TEXT)] * 2


def test_the_endpoint_of_the_document_refuses_the_signature_of_another_secret(tmp_path: Path) -> None:
    with endpoint("whsec_" + b64encode(b"x" * 32).decode()) as (url, delivered):
        error = failure(sender_for(settings_of(OWN, url, tmp_path)))
        assert isinstance(error, SmsFailed)
        assert error.fault == "configuration"
        assert delivered == []


def test_the_endpoint_of_the_document_refuses_an_old_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sending = time.time, threading.current_thread()

    def clock() -> float:
        """The sender's clock is more than five minutes late. The endpoint has threads of its own."""
        return now() - (301 if threading.current_thread() is sending else 0)

    with endpoint(secret_of_the_document()) as (url, delivered):
        sender = sender_for(settings_of(OWN, url, tmp_path))
        monkeypatch.setattr(time, "time", clock)
        assert isinstance(failure(sender), SmsFailed)
        assert delivered == []


def standard_signature(secret: str, event: str, moment: str, body: bytes) -> str:
    """The signature of Standard Webhooks 1.0.0, written from its specification."""
    key = b64decode(secret.removeprefix("whsec_"))
    return "v1," + b64encode(hmac.digest(key, f"{event}.{moment}.".encode() + body, "sha256")).decode()


def test_a_request_has_the_signature_of_the_standard(tmp_path: Path) -> None:
    secret = secret_of_the_document()
    # The example of the standard's own Python library.
    known = standard_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert known == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with Provider(lambda call: (200, {}, Sms(call.fields["phone"], call.fields["text"]))) as provider:
        send(sender_of(OWN, provider, tmp_path))
        (call,) = provider.calls
        event, moment = call.headers["webhook-id"], call.headers["webhook-timestamp"]
        assert call.headers["webhook-signature"] == standard_signature(secret, event, moment, call.body)
        assert re.fullmatch(r"[A-Za-z0-9_]+", event)
        assert re.fullmatch(r"[0-9]+", moment)
