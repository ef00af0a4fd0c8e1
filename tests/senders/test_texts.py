"""The text of a message by language and by client."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from otp_gateway.messages import Message
from otp_gateway.senders.message import Texts
from tests.api.support import Api, Recorder, make_api
from tests.conftest import make_settings
from tests.senders.support import CODE, message_to

HASH = "FA+9qCX9VSu"


def body_of(reply: TestResponse) -> Any:
    """The JSON body."""
    return reply.json


def texts(**variables: object) -> Texts:
    return Texts.from_settings(make_settings(**variables))


def test_the_language_chooses_the_text_and_the_default_serves_the_others() -> None:
    both = texts(OTP_MESSAGE="D {code}", OTP_MESSAGE_EN="E {code}", OTP_MESSAGE_FA="F {code}")
    found = [both.of(message_to(language=language)) for language in ("en", "fa", None)]
    assert found == [f"E {CODE}", f"F {CODE}", f"D {CODE}"]
    assert texts(OTP_MESSAGE="D {code}").of(message_to(language="en")) == f"D {CODE}"


def test_an_android_app_gets_its_hash_as_the_last_line_instead_of_the_web_line() -> None:
    both = texts(OTP_MESSAGE="{code}", OTP_WEB_DOMAIN="example.com", OTP_APP_HASH=HASH)
    assert both.of(message_to(android=True)).split("\n") == [CODE, HASH]
    assert both.of(message_to()).split("\n")[-1] == f"@example.com #{CODE}"
    web = texts(OTP_MESSAGE="{code}", OTP_WEB_DOMAIN="example.com")
    assert web.of(message_to(android=True)).split("\n")[-1] == f"@example.com #{CODE}"


class Keeping(Recorder):
    """Keeps the whole messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def send(self, message: Message, deadline: float) -> None:
        super().send(message, deadline)
        self.messages.append(message)


@pytest.fixture
def sender() -> Keeping:
    return Keeping()


@pytest.fixture
def api(sender: Keeping) -> Api:
    return make_api(sender=sender)


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        ({}, None, (None, False)),
        ({"lang": "en"}, "fa", ("en", False)),
        ({}, "fa-IR,fa;q=0.9,en;q=0.5", ("fa", False)),
        ({}, "en-US,en;q=0.9", ("en", False)),
        ({}, "de", (None, False)),
        ({}, "x" * 4000, (None, False)),
        ({"client": "android"}, None, (None, True)),
    ],
)
def test_the_body_decides_and_then_the_header(
    api: Api,
    sender: Keeping,
    body: dict[str, str],
    header: str | None,
    expected: tuple[str | None, bool],
) -> None:
    headers = {"Accept-Language": header} if header else {}
    reply = api.post("/api/v1/usr/otp", {"phone_number": "+989123456789", **body}, headers=headers)
    assert reply.status_code == 200
    (message,) = sender.messages
    assert (message.language, message.android) == expected


@pytest.mark.parametrize("body", [{"lang": "de"}, {"lang": 1}, {"client": "ios"}, {"client": True}])
def test_another_value_is_an_invalid_request(api: Api, sender: Keeping, body: dict[str, object]) -> None:
    reply = api.post("/api/v1/usr/otp", {"phone_number": "+989123456789", **body})
    assert (reply.status_code, body_of(reply)["code"]) == (400, "invalid_request")
    assert sender.messages == []


def test_one_key_with_another_language_in_the_body_is_another_body(api: Api) -> None:
    headers = {"Idempotency-Key": "a-key-of-sixteen-characters"}
    first = {"phone_number": "+989123456789", "lang": "fa"}
    assert api.post("/api/v1/usr/otp", first, headers=headers).status_code == 200
    assert api.post("/api/v1/usr/otp", first, headers=headers).status_code == 200
    reply = api.post("/api/v1/usr/otp", first | {"lang": "en"}, headers=headers)
    assert (reply.status_code, body_of(reply)["code"]) == (422, "idempotency_key_reused")
