"""The checklist's findings about an SMS backend that it does not know."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from otp_gateway import senders, sms_backends
from otp_gateway.messages import Message
from otp_gateway.observer import Observer
from otp_gateway.settings import Settings
from otp_gateway.sms_backends import NoDelivery, SmsBackend
from tests.checks.support import commands
from tests.conftest import make_settings


@dataclass
class PigeonSender:
    """A sender that needs a variable of its own."""

    configured: bool

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer) -> PigeonSender:
        del observer
        # METRICS_TOKEN is the key of this provider: the settings have no other free text.
        return cls(configured=bool(settings.metrics_token))

    def send(self, message: Message, deadline: float) -> None:
        raise NotImplementedError


def findings_about_sms(
    monkeypatch: pytest.MonkeyPatch, backend: SmsBackend, **variables: str
) -> list[tuple[str, str]]:
    """Status and message of each finding of the SMS part, with a third backend in use."""
    monkeypatch.setitem(sms_backends.SMS_BACKENDS, "pigeon", backend)
    monkeypatch.setitem(senders.BACKENDS, "pigeon", PigeonSender.from_settings)
    settings = replace(make_settings(**variables), sms_backend=("pigeon",))
    result = commands(settings).test_cli_runner().invoke(args=["otp", "check", "--json"])
    found = json.loads(result.stdout)["checks"]
    about = [(check["status"], check["message"]) for check in found if check["name"] == "sms"]
    # The credit, the account and the sender number are Kavenegar's.
    assert not {"credit", "account", "sender", "template"} & {check["name"] for check in found}
    return about


def test_a_third_backend_that_can_send_is_neither_a_fault_nor_ok_without_a_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ((status, message),) = findings_about_sms(monkeypatch, SmsBackend())
    assert status == "warning"
    assert "SMS_BACKEND=pigeon is not checked" in message
    assert "flask otp send" in message
    assert "503" not in message


def test_a_key_of_kavenegar_says_nothing_about_a_third_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = findings_about_sms(monkeypatch, SmsBackend())
    assert findings_about_sms(monkeypatch, SmsBackend(), KAVENEGAR_API_KEY="a-key") == plain


def test_a_third_backend_without_its_variable_is_a_fault_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = SmsBackend(required=("METRICS_TOKEN",))
    assert findings_about_sms(monkeypatch, backend) == [
        ("fault", "METRICS_TOKEN is not set: every send is answered 503")
    ]
    ((status, _),) = findings_about_sms(monkeypatch, backend, METRICS_TOKEN="a-token-of-20-letters")
    assert status == "warning"


def test_a_third_backend_that_delivers_nothing_is_a_fault_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = SmsBackend(no_delivery=NoDelivery(at_start="feeds pigeons", in_check="feeds pigeons: unset it"))
    assert findings_about_sms(monkeypatch, backend) == [
        ("fault", "SMS_BACKEND=pigeon feeds pigeons: unset it")
    ]


def test_a_test_message_through_a_third_backend_names_the_variable_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sms_backends.SMS_BACKENDS, "pigeon", SmsBackend(required=("METRICS_TOKEN",)))
    monkeypatch.setitem(senders.BACKENDS, "pigeon", PigeonSender.from_settings)
    app = commands(replace(make_settings(), sms_backend=("pigeon",)))
    result = app.test_cli_runner().invoke(args=["otp", "send", "09123456789"])
    assert result.exit_code == 1
    assert "METRICS_TOKEN is not set." in result.stderr
