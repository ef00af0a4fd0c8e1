"""The console sender: the message on a stream, the phone masked."""

from __future__ import annotations

import io

import pytest

from otp_gateway.model import Channel
from otp_gateway.senders.console import ConsoleSender
from otp_gateway.senders.message import Texts
from tests.conftest import make_settings
from tests.senders.support import CODE, PHONE, Timed, send, sender_for


def test_the_console_backend_prints_the_operators_message(capsys: pytest.CaptureFixture[str]) -> None:
    sender = sender_for(
        make_settings(SMS_BACKEND="console", OTP_MESSAGE="Code {code}", OTP_WEB_DOMAIN="example.com")
    )
    assert sender.configured
    send(sender)
    printed = capsys.readouterr()
    assert f"| Code {CODE}\n" in printed.out
    assert f"| @example.com #{CODE}\n" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(("channel", "kind"), [("sms", "SMS"), ("call", "Call")])
def test_it_names_the_channel_and_masks_the_phone(channel: Channel, kind: str) -> None:
    stream = io.StringIO()
    send(Timed(ConsoleSender(Texts(default="{code}"), stream), 1), channel=channel)
    printed = stream.getvalue()
    assert f"{kind} to +98912***6789\n" in printed
    assert PHONE.e164[3:] not in printed


def test_a_message_is_written_at_once_so_that_parallel_ones_do_not_mingle() -> None:
    class Writes(io.StringIO):
        count = 0

        def write(self, text: str) -> int:
            self.count += 1
            return super().write(text)

    stream = Writes()
    texts = Texts(default="one\ntwo\n{code}", web_domain="example.com")
    send(Timed(ConsoleSender(texts, stream), 1))
    assert stream.count == 1
    assert CODE in stream.getvalue()
