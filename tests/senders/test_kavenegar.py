"""The requests of the Kavenegar sender to the provider."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otp_gateway.errors import SmsNotConfigured
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.settings import SettingsError
from tests.conftest import make_settings
from tests.senders.support import CODE, KEY, PHONE, REFERENCE, TEMPLATE, failure, send, sender_for, sender_to
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import Call, Fault, KavenegarEmulator

RECEPTORS = {
    "+989123456789": "09123456789",
    "+989901234567": "09901234567",
    "+4915123456789": "004915123456789",
    "+12025550123": "0012025550123",
    "+376312345": "00376312345",  # Andorra: nine digits in all
    "+29051234": "0029051234",  # Saint Helena: eight
}


def noting(addresses: list[object], fault: Fault) -> Fault:
    """Record the connection of each request."""

    def note(call: Call) -> None:
        addresses.append(call._handler.client_address)
        fault(call)

    return note


def test_an_sms_is_one_post_of_receptor_message_sender_and_localid(emulator: KavenegarEmulator) -> None:
    send(sender_to(emulator.base_url))
    (request,) = emulator.requests
    assert (request.method, request.path) == ("POST", f"/v1/{KEY}/sms/send.json")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form == {
        "receptor": "09123456789",
        "message": f"کد تایید شما: {CODE}",
        "sender": "10008663",
        "localid": str(REFERENCE),
    }


def test_an_empty_sender_is_left_out(emulator: KavenegarEmulator) -> None:
    send(sender_to(emulator.base_url, KAVENEGAR_SENDER=""))
    assert set(emulator.requests[0].form) == {"receptor", "message", "localid"}


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_a_lookup_is_one_post_of_receptor_template_token_and_type(
    emulator: KavenegarEmulator, channel: Channel
) -> None:
    send(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=TEMPLATE), channel=channel)
    (request,) = emulator.requests
    assert (request.method, request.path) == ("POST", f"/v1/{KEY}/verify/lookup.json")
    assert request.form == {
        "receptor": "09123456789",
        "template": TEMPLATE,
        "token": CODE,
        "type": channel,
    }


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
@pytest.mark.parametrize(("e164", "receptor"), RECEPTORS.items())
def test_a_phone_anywhere_gets_its_message_under_a_documented_format(
    emulator: KavenegarEmulator, e164: str, receptor: str, template: str
) -> None:
    send(sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template), PhoneNumber(e164))
    assert [request.form["receptor"] for request in emulator.requests] == [receptor]
    assert emulator.code_for(e164) == CODE


def test_the_last_line_binds_the_code_to_the_web_domain(emulator: KavenegarEmulator) -> None:
    send(sender_to(emulator.base_url, OTP_WEB_DOMAIN="login.example.com"))
    lines = emulator.messages[0].text.split("\n")
    assert lines == [f"کد تایید شما: {CODE}", "", f"@login.example.com #{CODE}"]


def test_the_longest_message_that_the_settings_allow_is_one_that_kavenegar_takes(
    emulator: KavenegarEmulator,
) -> None:
    domain = ".".join(["d" * 63] * 3 + ["d" * 61])
    text = "{code}" + "x" * (900 - 10 - 253 - 15)
    send(
        sender_to(emulator.base_url, OTP_MESSAGE=text, OTP_WEB_DOMAIN=domain, OTP_LENGTH=10),
        code="1234567890",
    )
    (message,) = emulator.messages_to(PHONE.e164)
    assert len(message.text) == 900
    with pytest.raises(SettingsError, match="OTP_MESSAGE"):
        make_settings(OTP_MESSAGE=text + "x", OTP_WEB_DOMAIN=domain, OTP_LENGTH=10)


@pytest.mark.parametrize("suffix", ["/", "/v1", "/v1/"])
def test_the_base_url_may_end_in_a_slash_or_the_version(emulator: KavenegarEmulator, suffix: str) -> None:
    send(sender_to(emulator.base_url + suffix))
    assert len(emulator.messages) == 1


def test_a_key_that_kavenegar_does_not_know_is_a_configuration_fault(emulator: KavenegarEmulator) -> None:
    error = failure(sender_to(emulator.base_url, KAVENEGAR_API_KEY="another-key"))
    assert (error.definite, error.fault, error.provider_code) == (True, "configuration", 403)


def test_without_a_key_nothing_is_configured_or_sent(emulator: KavenegarEmulator) -> None:
    sender = sender_for(make_settings(KAVENEGAR_BASE_URL=emulator.base_url))
    assert not sender.configured
    with pytest.raises(SmsNotConfigured):
        send(sender)
    assert emulator.requests == []


def test_with_a_key_it_is_configured() -> None:
    assert sender_for(make_settings(KAVENEGAR_API_KEY=KEY)).configured


def test_sends_in_a_row_share_one_connection(emulator: KavenegarEmulator) -> None:
    addresses: list[object] = []
    emulator.fault = noting(addresses, faults.code(200))
    sender = sender_to(emulator.base_url)
    for reference in range(5):
        send(sender, reference=reference)
    assert len(addresses) == 5
    assert len(set(addresses)) == 1


@pytest.mark.parametrize("template", ["", TEMPLATE], ids=["sms", "lookup"])
def test_a_connection_that_the_provider_closed_meanwhile_costs_no_send(
    emulator: KavenegarEmulator, template: str
) -> None:
    def answer_and_close(call: Call) -> None:
        faults.code(200)(call)
        call._handler.close_connection = True

    emulator.fault = answer_and_close
    sender = sender_to(emulator.base_url, KAVENEGAR_TEMPLATE=template)
    for reference in range(3):
        send(sender, reference=reference)
        time.sleep(0.05)
    assert len(emulator.messages) == len(emulator.requests) == 3


def test_twenty_sends_at_once_run_at_once_and_keep_their_codes_apart(emulator: KavenegarEmulator) -> None:
    addresses: list[object] = []
    emulator.fault = noting(addresses, faults.slow(0.3))
    sender = sender_to(emulator.base_url)
    codes = {f"+98912345{n:04d}": f"48{n:04d}" for n in range(20)}

    def deliver(item: tuple[str, str]) -> None:
        send(sender, PhoneNumber(item[0]), code=item[1], reference=int(item[1]))

    with ThreadPoolExecutor(20) as pool:
        started = time.monotonic()
        list(pool.map(deliver, codes.items()))
        assert time.monotonic() - started < 2
        assert {phone: emulator.code_for(phone) for phone in codes} == codes
        emulator.clear()
        emulator.fault = noting(addresses, faults.code(200))
        list(pool.map(deliver, codes.items()))
    assert len(emulator.messages) == 20
    assert len(addresses) == 40
    assert len(set(addresses)) <= 20, "the pool keeps no connection for the next burst"


def test_neither_proxies_nor_netrc_of_the_environment_have_a_say(
    emulator: KavenegarEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with KavenegarEmulator() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        send(sender_to(emulator.base_url))
        assert proxy.requests == []
    (request,) = emulator.requests
    assert "authorization" not in request.headers
