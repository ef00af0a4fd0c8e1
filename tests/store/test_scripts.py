"""The header of each script describes its body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from otp_gateway.events import Batch
from otp_gateway.model import GateRules, SendRequest
from otp_gateway.store import connect
from otp_gateway.store.gate import GateStore
from otp_gateway.store.operator_actions import OperatorActions
from otp_gateway.store.outcomes import OutcomeStore
from otp_gateway.store.scripts import OF_THE_GATE
from otp_gateway.store.usage import UsageStore
from otp_gateway.store.write_probe import WriteProbe
from tests.recording.support import a_login, a_send
from tests.store.bench import PHONE, Bench
from tests.support.programs import require_oldest_redis
from tests.support.redis_server import RedisServer

FOLDER = Path(__file__).parents[2] / "otp_gateway" / "store" / "lua"
SCRIPTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.lua"))}
COMMON, CREDIT = SCRIPTS.pop("common"), SCRIPTS.pop("credit")
HELPERS = re.findall(r"local function (\w+)", COMMON + CREDIT)
CREATING = "HSET HINCRBY INCR INCRBY SET RPUSH LPUSH ZADD SADD"

each_script = pytest.mark.parametrize("name", SCRIPTS)


def header(name: str) -> list[str]:
    lines = SCRIPTS[name].splitlines()
    return lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))]


def body(name: str) -> str:
    """The complete script that runs, with the shared functions."""
    shared = COMMON + CREDIT if name in OF_THE_GATE else COMMON
    code = "\n".join([shared, *SCRIPTS[name].splitlines()[len(header(name)) :]])
    return re.sub(r"--.*", "", code)


def section(name: str, title: str) -> list[str]:
    """The lines of the header from this title to the next one, or to an empty line."""
    lines = header(name)
    start = next(n for n, line in enumerate(lines) if line.startswith(f"-- {title}"))
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith("--  ")), len(lines))
    return ["--" + " " * (len(title) + 1) + lines[start][len(title) + 3 :], *lines[start + 1 : end]]


def documented(name: str, title: str) -> tuple[dict[int, str], int | None]:
    """The description of each number, and the number from which on there can be any number of entries."""
    entries: dict[int, str] = {}
    more = None
    for line in section(name, title):
        if match := re.match(r"--\s+(\d+)(…?)\s+(.+)", line):
            entries[int(match[1])] = match[3]
            more = int(match[1]) if match[2] else more
    assert list(entries) == list(range(1, len(entries) + 1)), f"{title} of {name} are not counted through"
    return entries, more


def commands(name: str) -> Iterator[tuple[str, list[str]]]:
    """Every call of Redis in the body: the command, and its arguments as they are written."""
    for call in re.split(r"redis\.p?call\(", body(name))[1:]:
        words, depth = [""], 0
        for char in call:
            depth += (char in "([{") - (char in ")]}")
            if depth < 0:
                break
            if char == "," and not depth:
                words.append("")
            else:
                words[-1] += char
        command, *arguments = (word.strip() for word in words)
        yield command.strip("'"), arguments


def numbers_in_variables(name: str) -> set[int]:
    """The numbers of keys in variables such as ``code_key``, which depend on the lane.

    Each variable must be used.
    """
    code, found = body(name), set()
    for names, values in re.findall(r"^ *(?:local )?(\w+_key(?:, \w+)*) = (\d.*)$", code, re.MULTILINE):
        for variable, value in zip(names.split(", "), values.split(", "), strict=True):
            if variable.endswith("_key"):
                assert f"KEYS[{variable}]" in code
                found.add(int(value))
    return found


@each_script
def test_every_key_and_argument_is_documented_and_used(name: str) -> None:
    for title in ("KEYS", "ARGV"):
        entries, more = documented(name, title)
        used = {int(n) for n in re.findall(title + r"\[(\d+)\]", body(name))}
        if title == "KEYS":
            used |= numbers_in_variables(name)
            # The functions of credit.lua count from the first key of the gate.
            used |= {n for n, text in entries.items() if text.startswith("gate:") and name in OF_THE_GATE}
        assert used <= entries.keys()
        unused = entries.keys() - used
        if unused:
            # The script reaches these in a loop that starts at a number.
            assert re.search(title + r"\[[a-z]\w*(?: \+ 1)?\]", body(name))
            if title == "ARGV":
                assert unused == {more}
                assert re.search(rf"= {more}\b", body(name))
            else:
                assert "#KEYS" in body(name)


@each_script
def test_every_reply_is_documented_and_given(name: str) -> None:
    told = set(re.findall(r"'(\w+)'", " ".join(section(name, "REPLY"))))
    given = set(re.findall(r"(?:return \{|\btag =) *'(\w+)'", body(name)))
    assert told
    assert told == given


@each_script
def test_every_key_is_documented_with_its_ttl(name: str) -> None:
    text = " ".join(line.lstrip("- ") for line in section(name, "KEYS"))
    for entry in re.split(r"(?:^|\s)\d+…?\s+(?=otp:|ip:|gate:|per send: gate:)", text)[1:]:
        assert re.search(r"TTL|only read|deleted by", entry), entry


@each_script
def test_keys_come_only_from_keys(name: str) -> None:
    code = body(name)
    for command, arguments in commands(name):
        names = arguments if command in ("DEL", "UNLINK", "EXISTS") else arguments[:1]
        for key in names:
            assert re.fullmatch(r"KEYS\[\w+\]|key", key), f"{command} {key}"
    # A helper with a parameter `key` only ever gets one of KEYS.
    for helper in re.findall(r"function (\w+)\(key\b", code):
        given = re.findall(rf"(?<!function )\b{helper}\(([^,)]+)", code)
        assert given or helper in HELPERS
        # A helper may pass its own `key` on to another one.
        assert all(re.fullmatch(r"KEYS\[\w+\]|key", key) for key in given)
    assert not re.search(r"otp:|ip:|gate:|KEYS\[\w+\] *\.\.|\.\. *KEYS", code)


@each_script
def test_every_key_that_a_script_can_create_gets_a_ttl(name: str) -> None:
    calls = list(commands(name))
    created = {arguments[0] for command, arguments in calls if command in CREATING.split()}
    if name == "rotate":
        # It writes to a session that is valid, and must keep the expiry that the login set.
        created.remove("KEYS[1]")
    if name == "verify":
        # The part of a code that it keeps has the expiry that issue.lua set. The key exists, because the
        # script found a digest in it. Its field 'phone' stays, so the key is never deleted and created again.
        created.remove("KEYS[code_key]")
    if name == "set_aside":
        # The key exists, and is renamed at once.
        created.remove("KEYS[kept]")
    if name == "admit":
        # A function writes each key, and its caller sets the expiry.
        created = {key.replace("key", "KEYS[k]") for key in created}
    ended = {arguments[0] for command, arguments in calls if command in ("PEXPIRE", "PEXPIREAT")}
    ended |= {
        arguments[0]
        for command, arguments in calls
        if command == "SET" and {"'PX'", "'KEEPTTL'"} & {*arguments}
    }
    assert created <= ended
    assert not any(command == "PERSIST" for command, _ in calls)


@each_script
def test_the_clock_is_redis_own_and_nothing_is_used_that_the_embedded_store_lacks(name: str) -> None:
    code = body(name)
    assert "redis.call('TIME')" in code
    assert not re.search(r"sha1hex|cjson|cmsgpack|struct\.|\bbit\.|os\.|math\.random", code)


@pytest.fixture(scope="module")
def oldest_redis() -> Iterator[RedisServer]:
    """The oldest Redis that the contract names, even if the machine has a newer one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_SERVER", require_oldest_redis())
        with RedisServer() as server:
            yield server


@each_script
def test_redis_6_2_knows_every_command(name: str, oldest_redis: RedisServer) -> None:
    with oldest_redis.client() as client:
        assert client.info("server")["redis_version"].startswith("6.2.")
        for command, arguments in commands(name):
            known = client.execute_command("COMMAND INFO", command)
            assert known, command
            assert command not in ("PEXPIRE", "PEXPIREAT") or len(arguments) == 2


def test_redis_6_2_runs_every_script_with_as_many_arguments_as_documented(oldest_redis: RedisServer) -> None:
    bench = Bench(connect(oldest_redis.url))
    bench.load()
    bench.scripts.calls.clear()
    bench.admit("site", "net")
    bench.fail()
    bench.withdraw(bench.issue())
    bench.store.finish(PHONE, bench.issue(), sent=True)
    session = bench.verify(bench.issue())
    bench.sessions.rotate(PHONE, session.id, session.refresh_id, bench.caller())
    bench.snapshot()
    bench.sessions.revoke(PHONE, session.id, bench.caller())
    assert WriteProbe(bench.redis, bench.scripts).fault() is None
    actions = OperatorActions(bench.redis, bench.scripts, bench.policy)
    actions.forget_devices([bench.codes.pid(PHONE)])
    assert actions.clear_sends(bench.codes.pid(PHONE))
    assert actions.undo(bench.codes.pid(PHONE), actions.void(bench.codes.pid(PHONE)) or "")
    batch = Batch("one", [a_send("one"), a_login("two")], {"sent": 1})
    OutcomeStore(bench.scripts).write(batch)
    UsageStore(bench.redis, bench.scripts).write(batch)
    gate = GateStore(bench.scripts, GateRules("on"), lambda _: False, apart=True)
    ticket = gate.decide("a call", "pid", SendRequest(PHONE), bench.caller(), solved=False)
    assert ticket
    gate.cancel_now(ticket.unused)
    assert {name for name, _, _ in bench.scripts.calls} == SCRIPTS.keys()
    for name, keys, args in bench.scripts.calls:
        # The keys of these two follow a pattern.
        patterns = {"tally": 10, "give_back": 6}
        assert len(keys) == patterns.get(name, len(documented(name, "KEYS")[0]))
        entries, more = documented(name, "ARGV")
        assert len(args) >= len(entries) if more else len(args) == len(entries)
