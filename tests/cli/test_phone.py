"""One phone from a shell: send, status and unlock, and what they do not change."""

from __future__ import annotations

import getpass
import json
import re

import pytest
import redis
from click.testing import Result
from flask import Flask

from otp_gateway.codes import Codes
from otp_gateway.senders.kavenegar.codes import RESULT_CODES
from otp_gateway.store.connect import connect
from tests.admin.support import everything
from tests.api.support import AWAY, HOME, OTHER, PHONE, SEND, Api, keys_of, make_api, set_failures, wrong
from tests.checks.support import commands, provider
from tests.cli.support import SECRET, flask
from tests.conftest import SECRET_KEY, make_settings
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.kavenegar import Fault, KavenegarEmulator
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel

MASKED = "+98912***6789"
SPELLINGS = [
    [PHONE],
    ["09123456789"],
    ["۰۹۱۲۳۴۵۶۷۸۹"],
    ["٠٩١٢٣٤٥٦٧٨٩"],
    ["00989123456789"],
    ["+98 (0)912-345-6789"],
    ["0912", "345", "6789"],
    ["+98", "912", "345", "6789"],
    ["۰۹۱۲", "۳۴۵", "۶۷۸۹"],
]


def otp(app: Flask, *words: str) -> Result:
    """Run a command. Its output must not contain a whole number, a key, or a traceback."""
    result = app.test_cli_runner().invoke(args=["otp", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for secret in ("9123456789", "935111", SECRET_KEY, "4B5A6C7D8E9F"):
        assert secret not in result.output
    return result


TRIES = "No try is left for the code: 3 of 3 wrong. The user needs a new code."


def facts(text: str) -> dict[str, str]:
    """The lines of a status by their names."""
    found = (re.fullmatch(r"  (\S.*?\S)  +(.+)", line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def test_a_test_message_reaches_the_phone_with_a_code_that_is_not_valid(
    app: Flask, api: Api, emulator: KavenegarEmulator
) -> None:
    result = otp(app, "send", PHONE)
    assert result.exit_code == 0
    (sms,) = emulator.messages
    code = emulator.code_for(PHONE)
    assert (
        result.output
        == f"Handed over to kavenegar for {MASKED}, with the code {code}, which is not valid for a login.\n"
    )
    assert sms.localid is not None
    assert api.verify(PHONE, code).get_json()["code"] == "invalid_code"


def test_a_test_message_touches_neither_limits_nor_the_live_code(
    app: Flask, api: Api, emulator: KavenegarEmulator, store: redis.Redis
) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    api.verify(PHONE, wrong(code))
    before = everything(store, but="admin:activity")
    sent = {emulator.messages[0].localid}
    for _ in range(4):  # more than the phone's window allows
        assert otp(app, "send", PHONE).exit_code == 0
        sent.add(emulator.messages[-1].localid)
    assert everything(store, but="admin:activity") == before
    # Each is a message of its own, which the provider takes for no other's repeat.
    assert len(sent) == 5
    assert api.verify(PHONE, code).status_code == 200


@pytest.mark.parametrize("words", SPELLINGS, ids=" ".join)
@pytest.mark.parametrize("command", ["send", "status", "unlock"])
def test_a_number_may_be_spelt_in_any_way(
    app: Flask, emulator: KavenegarEmulator, command: str, words: list[str]
) -> None:
    result = otp(app, command, *words)
    assert result.exit_code == 0, result.output
    assert MASKED in result.output
    assert len(emulator.messages_to(PHONE)) == (command == "send")


def test_a_shell_hands_over_persian_digits_and_blanks_as_they_are(redis_server: RedisServer) -> None:
    env = {**SECRET, "REDIS_URL": redis_server.url}
    for words in (["۰۹۱۲۳۴۵۶۷۸۹"], ["+98", "912", "345", "6789"]):
        for locale in ({}, {"LC_ALL": "POSIX"}):
            done = flask("otp", "status", *words, env={**env, **locale})
            assert done.returncode == 0, done.stderr
            assert MASKED in done.stdout
    done = flask("otp", "status", b"0912\xff3456789", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("12", "no mobile number"),
        ("", "no mobile number"),
        ("02188888888", "no mobile number"),
        ("09123456789x5", "no mobile number"),
        ("+4915112345678", "OTP_REGIONS"),
    ],
)
@pytest.mark.parametrize("command", ["send", "status", "unlock"])
def test_a_number_that_cannot_be_is_refused_and_not_repeated(
    app: Flask, emulator: KavenegarEmulator, command: str, number: str, words: str
) -> None:
    result = otp(app, command, number)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert "15112345678" not in result.output
    assert emulator.requests == []


@pytest.mark.parametrize("command", ["send", "status", "unlock"])
def test_without_a_number_the_usage_is_reported(app: Flask, command: str) -> None:
    assert otp(app, command).exit_code == 2


def test_a_template_sends_by_lookup_and_calls(emulator: KavenegarEmulator, redis_server: RedisServer) -> None:
    names = provider(emulator) | {"REDIS_URL": redis_server.url}
    plain = commands(make_settings(**names))
    result = otp(plain, "send", PHONE, "--channel", "call")
    assert (result.exit_code, result.stderr) == (1, "Error: Calls need KAVENEGAR_TEMPLATE.\n")
    with_template = commands(make_settings(**names, KAVENEGAR_TEMPLATE="login"))
    assert otp(with_template, "send", PHONE, "--channel", "call").exit_code == 0
    (sms,) = emulator.messages
    assert (sms.action, sms.type, sms.template) == ("verify/lookup", "call", "login")


def test_without_a_key_nothing_is_sent() -> None:
    result = otp(commands(make_settings()), "send", PHONE)
    assert (result.exit_code, result.stderr) == (1, "Error: KAVENEGAR_API_KEY is not set.\n")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.code(418), f"Nothing was sent. Kavenegar answers 418: {RESULT_CODES[418].advice}"),
        (faults.code(412), f"Nothing was sent. Kavenegar answers 412: {RESULT_CODES[412].advice}"),
        (
            faults.entry_status(14),
            "Nothing was sent. Kavenegar has taken the message, and says of it: Blocked",
        ),
        (faults.code(500), "It may have been sent. Kavenegar answers 500"),
        (faults.html(), "It may have been sent. Kavenegar's answer makes no sense"),
        (faults.hang(), "It may have been sent. Kavenegar does not answer in time"),
    ],
)
def test_a_send_that_fails_says_why_and_whether_something_went_out(
    emulator: KavenegarEmulator, fault: Fault, words: str
) -> None:
    emulator.fault = fault
    app = commands(make_settings(**provider(emulator), SMS_TIMEOUT=1))
    result = otp(app, "send", PHONE)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {words}")


def test_the_status_of_an_unknown_phone_is_idle(app: Flask) -> None:
    lines = otp(app, "status", PHONE).output.splitlines()
    assert lines[0] == f"{MASKED}: The user may request a code now: no limit is reached."
    assert facts("\n".join(lines)) == {
        "wrong tries": "0 of 3",
        "failures, 24 h": "0 of 40; networks locked out: 0",
        "live sessions": "0",
        "sends, 2 min": "0 of 3",
        "sends, 1 h": "0 of 10",
        "sends, 24 h": "0 of 20",
    }


def test_the_status_follows_a_phone_through_its_story(
    app: Flask, api: Api, emulator: KavenegarEmulator, store: redis.Redis
) -> None:
    def head() -> str:
        return otp(app, "status", PHONE).output.splitlines()[0]

    api.send()
    code = emulator.code_for(PHONE)
    assert head() == f"{MASKED}: The user may request a code now: no limit is reached."
    assert "The user has an active code for 4 min 5" in otp(app, "status", PHONE).output
    for by in (1, 2, 3):
        api.verify(PHONE, wrong(code, by))
    assert head() == f"{MASKED}: {TRIES}"
    recording.write()
    output = otp(app, "status", PHONE).output
    assert facts(output)["wrong tries"] == "3 of 3"
    assert facts(output)["failures, 24 h"] == "3 of 40, for 23 h 59 min more; networks locked out: 0"
    assert re.search(r"\n  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d Asia/Tehran  sms  sent; Queued\n", output)
    assert code not in output
    assert otp(app, "unlock", PHONE).output == f"{MASKED}: unlocked.\n"
    assert otp(app, "unlock", PHONE).output == f"{MASKED}: nothing to unlock.\n"
    assert api.verify(PHONE, code).status_code == 200
    assert head() == f"{MASKED}: The user may request a code now: no limit is reached."
    assert "The user has signed in with the last code." in otp(app, "status", PHONE).output
    assert facts(otp(app, "status", PHONE).output)["live sessions"] == "1"
    set_failures(store, keys_of(PHONE), 50, seconds=3600)
    assert head().startswith(f"{MASKED}: Locked for 59 min 59 s: 50 wrong codes in 24 hours.")
    # None of this was reported of another phone or done to it.
    assert otp(app, "status", OTHER).output.splitlines()[0].endswith("no limit is reached.")


def test_a_network_that_is_locked_out_is_told_and_unlocked(app: Flask, api: Api, store: redis.Redis) -> None:
    client = Codes(SECRET_KEY, 6).client
    for network in (HOME, AWAY):
        set_failures(store, keys_of(PHONE), 10, client=client(network))
    assert facts(otp(app, "status", PHONE).output)["failures, 24 h"].endswith("networks locked out: 2")
    assert api.send().status_code == 429
    assert otp(app, "unlock", PHONE).exit_code == 0
    assert facts(otp(app, "status", PHONE).output)["failures, 24 h"].endswith("networks locked out: 0")
    assert api.send().status_code == 200


def test_a_status_changes_nothing_and_asks_the_provider_once(
    app: Flask, api: Api, emulator: KavenegarEmulator, store: redis.Redis
) -> None:
    for _ in range(3):
        api.send()
    before, asked = everything(store), len(emulator.requests)
    otp(app, "status", PHONE)
    assert everything(store) == before
    assert [request.action for request in emulator.requests[asked:]] == ["sms/statuslocalmessageid"]


@pytest.mark.parametrize("fault", [faults.hang(), faults.html(), faults.drop(), faults.code(403)])
def test_a_provider_that_does_not_answer_takes_nothing_from_the_status(
    app: Flask, api: Api, emulator: KavenegarEmulator, fault: Fault
) -> None:
    api.send()
    recording.write()
    emulator.fault = fault
    result = otp(app, "status", PHONE)
    assert result.exit_code == 0
    assert result.output.endswith("Asia/Tehran  sms  sent\n")


def test_devices_are_forgotten_from_a_shell(
    app: Flask, api: Api, emulator: KavenegarEmulator, store: redis.Redis
) -> None:
    api.send()
    login = api.verify(PHONE, emulator.code_for(PHONE)).get_json()
    body = {"phone_number": PHONE, "device_token": login["device_token"]}
    names = keys_of(PHONE).of_devices
    assert "devices" not in facts(otp(app, "status", PHONE).output)

    assert api.post(SEND, body).status_code == 200
    output = otp(app, "status", PHONE).output
    assert facts(output)["devices"] == "active"
    for window, used in (("2 min", "1 of 3"), ("1 h", "1 of 5"), ("24 h", "1 of 10")):
        assert re.search(rf"\n    sends, {window}\s+{used}\n", output)

    assert otp(app, "forget-devices", PHONE).output == f"{MASKED}: its devices are forgotten.\n"
    assert api.post(SEND, body).status_code == 200
    assert store.llen(names.sends) == 1
    assert otp(app, "forget-devices", "12").exit_code == 1


def test_a_user_that_may_not_scan_sees_everything_and_unlocks(
    redis_server: RedisServer, store: redis.Redis
) -> None:
    store.acl_setuser(
        "noscan", enabled=True, passwords=["+pass"], keys=["*"], categories=["+@all"], commands=["-scan"]
    )
    try:
        url = redis_server.url.replace("://", "://noscan:pass@")
        app = commands(make_settings(REDIS_URL=url))
        set_failures(store, keys_of(PHONE), 10, seconds=3600, client="network")
        status = facts(otp(app, "status", PHONE).output)
        assert status["failures, 24 h"] == "0 of 40; networks locked out: 1"
        assert otp(app, "unlock", PHONE).output == f"{MASKED}: unlocked.\n"
        status = facts(otp(app, "status", PHONE).output)
        assert status["failures, 24 h"] == "0 of 40; networks locked out: 0"
    finally:
        store.acl_deluser("noscan")


@pytest.mark.parametrize("command", ["status", "unlock"])
def test_a_user_without_rights_is_told_so(
    redis_server: RedisServer, store: redis.Redis, command: str
) -> None:
    store.acl_setuser("norights", enabled=True, passwords=["+pass"], keys=["*"], categories=["+@connection"])
    try:
        url = redis_server.url.replace("://", "://norights:pass@")
        result = otp(commands(make_settings(REDIS_URL=url)), command, PHONE)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: Redis: permission: ")
    finally:
        store.acl_deluser("norights")


@pytest.mark.parametrize("command", ["status", "unlock"])
def test_the_embedded_store_of_another_process_is_out_of_reach(command: str) -> None:
    result = otp(commands(make_settings()), command, PHONE)
    assert result.exit_code == 1
    assert "REDIS_URL is not set" in result.stderr


def test_a_sentinel_and_a_cluster_serve_the_commands_as_well(redis_server: RedisServer) -> None:
    with start_sentinel(redis_server.port, "gateway") as port:
        app = commands(make_settings(REDIS_URL=f"redis+sentinel://127.0.0.1:{port}/gateway"))
        assert otp(app, "status", PHONE).exit_code == 0
    with start_cluster() as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        app = commands(make_settings(REDIS_URL=url))
        api = make_api(connect(url))
        api.send()
        assert "active code" in otp(app, "status", PHONE).output
        set_failures(api.redis, keys_of(PHONE), 10, client="x")
        assert "networks locked out: 1" in otp(app, "status", PHONE).output
        assert "unlocked" in otp(app, "unlock", PHONE).output
        assert "networks locked out: 0" in otp(app, "status", PHONE).output


def test_a_console_prints_the_message_and_says_so() -> None:
    app = commands(make_settings(SMS_BACKEND="console"))
    result = otp(app, "send", PHONE)
    assert result.exit_code == 0
    assert json.dumps(MASKED)[1:-1] in result.output


def test_what_commands_did_is_in_the_activity_log(app: Flask, store: redis.Redis) -> None:
    assert otp(app, "activity").output == "No operator has done anything in the last 30 days.\n"
    set_failures(store, keys_of(PHONE), 10, client="x")
    otp(app, "unlock", PHONE)
    otp(app, "unlock", PHONE)
    otp(app, "send", PHONE)
    lines = otp(app, "activity").output.splitlines()
    who = f"cli:{getpass.getuser()}"
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d Asia/Tehran"
    # An unlock that found no lock is not an action.
    assert len(lines) == 2
    assert re.fullmatch(rf"{when}  {who}  sent a test message  {re.escape(MASKED)}", lines[0])
    assert re.fullmatch(rf"{when}  {who}  unlocked the phone  {re.escape(MASKED)}", lines[1])
    assert otp(app, "activity", "--last", "1").output.splitlines() == lines[:1]
    assert 0 < store.ttl("admin:activity") <= 30 * 86_400


def test_the_status_counts_sessions_under_a_former_secret(
    redis_server: RedisServer, emulator: KavenegarEmulator, api: Api
) -> None:
    api.send()
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200
    new = {"SECRET_KEY": "n" * 40, "SECRET_KEY_FALLBACKS": SECRET_KEY, "REDIS_URL": redis_server.url}
    output = otp(commands(make_settings(**new)), "status", PHONE).output
    assert facts(output)["live sessions"] == "0, under a former secret 1"


def test_the_status_of_a_muted_phone_says_so(app: Flask) -> None:
    assert otp(app, "mute", PHONE, "--hours", "1").exit_code == 0
    head = otp(app, "status", PHONE).output.splitlines()[0]
    assert re.fullmatch(rf"{re.escape(MASKED)}: Muted for 59 min 5\d s: only devices .+", head)
    assert "muted the phone" in otp(app, "activity").output
