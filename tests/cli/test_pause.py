"""``pause``, ``mute`` and ``activity`` as an operator types them, and their effect on a client."""

from __future__ import annotations

import getpass
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from flask import Flask

from otp_gateway.codes import Codes
from otp_gateway.store import keys
from tests.admin.support import everything
from tests.api.support import OTHER, PHONE, VERIFY, Api, keys_of
from tests.checks.support import commands
from tests.cli.support import SECRET, flask
from tests.cli.test_phone import MASKED, SPELLINGS, otp
from tests.conftest import SECRET_KEY, make_settings
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import start_cluster

HOUR = 3600
DEVICE = "device_token"


def code_of(api: Api, phone: str, **options: str) -> str:
    """``200``, or the code of the error of a send."""
    body = {"phone_number": phone, **options}
    return str((api.post("/api/v1/usr/otp", body).json or {}).get("code", 200))


def hours_left(text: str) -> float:
    """The remaining hours of the pause that a line shows."""
    found = re.search(r"paused until (\d{4}-\d\d-\d\d \d\d:\d\d) UTC", text)
    assert found, text
    until = datetime.strptime(found[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    return (until.timestamp() - time.time()) / HOUR


@pytest.mark.parametrize("target", ["+98912", "98912"])
def test_a_paused_prefix_demands_challenges_until_the_undo(app: Flask, api: Api, target: str) -> None:
    result = otp(app, "pause", target)
    assert result.exit_code == 0
    assert result.output.startswith("prefix +98912: paused until ")
    assert hours_left(result.output) == pytest.approx(24, abs=0.1)
    assert (code_of(api, PHONE), code_of(api, OTHER)) == ("challenge_required", "200")
    assert otp(app, "pause", target, "--undo").output == "prefix +98912: no longer paused.\n"
    assert code_of(api, PHONE) == "200"
    again = otp(app, "pause", target, "--undo")
    assert (again.exit_code, again.output) == (0, "prefix +98912: was not paused.\n")


@pytest.mark.parametrize("written", ["192.0.2.1", "::ffff:192.0.2.1", "id"])
def test_a_network_is_paused_by_its_address_or_by_its_id_in_the_log(
    app: Flask, api: Api, written: str
) -> None:
    id_ = Codes(SECRET_KEY, 6).client("192.0.2.1")
    result = otp(app, "pause", id_ if written == "id" else written, "--hours", "2")
    assert result.output.startswith(f"network {id_}: paused until ")
    assert "192.0.2.1" not in result.output
    assert hours_left(result.output) == pytest.approx(2, abs=0.1)
    assert code_of(api, PHONE) == "challenge_required"
    assert api.send(OTHER, ip="192.0.2.2").status_code == 200


def test_an_ipv6_address_pauses_its_whole_network(app: Flask) -> None:
    first = otp(app, "pause", "2001:db8:1:2::3").output
    second = otp(app, "pause", "2001:db8:1:ffff::9").output
    assert first.partition(":")[0] == second.partition(":")[0]
    assert len(otp(app, "pause").output.splitlines()) == 1


@pytest.mark.parametrize("spelling", SPELLINGS[:1] + SPELLINGS[-2:])
def test_a_muted_phone_gets_no_message_and_its_device_still_does(
    app: Flask, api: Api, emulator: KavenegarEmulator, spelling: list[str]
) -> None:
    assert code_of(api, PHONE) == "200"
    login = api.post(VERIFY, {"phone_number": PHONE, "code": emulator.code_for(PHONE)}).json
    assert login
    result = otp(app, "mute", *spelling, "--hours", "1")
    assert result.output.startswith(f"phone {MASKED}: paused until ")
    assert (code_of(api, PHONE), code_of(api, OTHER)) == ("sending_paused", "200")
    assert code_of(api, PHONE, device_token=login[DEVICE]) == "200"
    assert otp(app, "mute", *spelling, "--undo").output == f"phone {MASKED}: no longer paused.\n"
    assert code_of(api, PHONE) == "200"
    assert otp(app, "mute", *spelling, "--undo").output == f"phone {MASKED}: was not paused.\n"


def test_a_pause_and_a_mute_end_by_themselves(app: Flask, api: Api, store: redis.Redis) -> None:
    otp(app, "pause", "+98935", "--hours", "1")
    otp(app, "mute", PHONE, "--hours", "1")
    assert (code_of(api, OTHER), code_of(api, PHONE)) == ("challenge_required", "sending_paused")
    assert 0 < store.ttl(keys_of(PHONE).mute) <= HOUR
    assert 0 < store.ttl(keys.GATE_PAUSES) <= 90 * 24 * HOUR
    # An hour later: the field has its own expiry, and the key of the phone has expired.
    found: Any = store.hgetall(keys.GATE_PAUSES)
    for field, value in found.items():
        until, *masked = value.decode().split(":")
        store.hset(keys.GATE_PAUSES, field.decode(), ":".join([str(int(until) - 1000 * HOUR), *masked]))
    store.delete(keys_of(PHONE).mute)
    assert (code_of(api, OTHER), code_of(api, PHONE)) == ("200", "200")
    assert otp(app, "pause").output == ""
    assert otp(app, "pause", "+98935", "--undo").output == "prefix +98935: was not paused.\n"


def test_a_second_pause_replaces_the_first_and_the_list_shows_each_once(app: Flask) -> None:
    otp(app, "pause", "+98912", "--hours", "48")
    otp(app, "mute", PHONE, "--hours", "3")
    otp(app, "pause", "+98912", "--hours", "5")
    lines = otp(app, "pause").output.splitlines()
    assert [line.partition(": paused")[0] for line in lines] == [f"phone {MASKED}", "prefix +98912"]
    assert [round(hours_left(line)) for line in lines] == [3, 5]


@pytest.mark.parametrize(
    "words",
    [
        ["pause", "+98"],
        ["pause", "+9891"],
        ["pause", "+989123456789"],
        ["pause", "192.0.2.300"],
        ["pause", "192.0.2.0/24"],
        ["pause", "example.com"],
        ["pause", "prefix:+98912"],
        ["pause", ""],
        ["pause", "+98912", "--hours", "0"],
        ["pause", "+98912", "--hours", "2161"],
        ["pause", "+98912", "--hours", "soon"],
        ["pause", "+98912", "+98935"],
        ["mute"],
        ["mute", "12345"],
        ["mute", PHONE, "--hours", "-1"],
        ["mute", "+14155552671"],
        ["activity", "--last", "0"],
        ["activity", "--last", "1001"],
        ["activity", "everything"],
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(app: Flask, store: redis.Redis, words: list[str]) -> None:
    before = everything(store)
    result = otp(app, *words)
    assert result.exit_code in (1, 2)
    assert result.output.strip()
    assert everything(store) == before


def test_the_log_of_activity_has_each_change_newest_first(app: Flask) -> None:
    otp(app, "pause", "+98912", "--hours", "2")
    otp(app, "mute", PHONE)
    otp(app, "mute", PHONE, "--undo")
    otp(app, "pause", "+98912", "--undo")
    # A command that changes no state is not logged as an action.
    otp(app, "pause", "+98912", "--undo")
    otp(app, "pause")
    otp(app, "pause", "nonsense")
    lines = otp(app, "activity").output.splitlines()
    assert len(lines) == 4
    assert all(f"cli:{getpass.getuser()}" in line for line in lines)
    for line, words in zip(
        lines, ("ended a pause", "ended a pause", "muted the phone", "paused"), strict=True
    ):
        assert words in line
        assert (MASKED in line) == (line in lines[1:3])
    assert ["until" in line for line in lines] == [False, False, True, True]
    assert otp(app, "activity", "--last", "2").output.splitlines() == lines[:2]
    assert keys_of(PHONE).pid not in "".join(lines)


@pytest.mark.parametrize("words", [["pause"], ["pause", "+98912"], ["mute", PHONE], ["activity"]])
def test_without_redis_the_command_says_so_and_ends(words: list[str]) -> None:
    settings = make_settings(REDIS_URL="redis://127.0.0.1:1", SECRET_KEY=SECRET_KEY)
    result = otp(commands(settings), *words)
    assert result.exit_code == 1
    assert "Redis" in result.output


def test_a_shell_pauses_on_a_cluster() -> None:
    with start_cluster() as nodes:
        env = {**SECRET, "REDIS_URL": f"redis+cluster://127.0.0.1:{nodes[0].port}"}
        assert flask("otp", "pause", "+98912", env=env).stdout.startswith("prefix +98912: paused until ")
        assert flask("otp", "mute", PHONE, env=env).stdout.startswith(f"phone {MASKED}: paused until ")
        assert len(flask("otp", "pause", env=env).stdout.splitlines()) == 2
        done = flask("otp", "activity", env=env)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
