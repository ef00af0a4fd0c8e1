"""The commands that reach a Redis, as its MONITOR shows them."""

from __future__ import annotations

import re
import socket
import threading
from itertools import groupby
from typing import IO

import redis

from tests.capture import normal
from tests.support.redis_server import RedisServer

LINE = re.compile(r"\+[0-9.]+ \[\d+ ([^\]]+)\] (.*)", re.DOTALL)
WORD = re.compile(r'"((?:\\.|[^"\\])*)"')
MARK = "capture-mark"
READING = re.compile(r"(?:GET|HMGET|LRANGE|PTTL|ZCOUNT) otp:\{")
SCRIPT = "<script>"
# Shown whole: none of their arguments depends on the time of the run.
WHOLE = re.compile(
    "DEL|EXEC|EXPIRE|H?GET|HDEL|HEXISTS|HGETALL|HINCRBY|HMGET|INCR|LRANGE|MULTI|PING|PTTL|RENAME|RENAMENX"
    "|SCAN|TIME|TTL"
)


class Trace:
    """Listens to one server, from its creation until ``end``."""

    def __init__(self, server: RedisServer, ours: redis.Redis) -> None:
        """``ours``: a client with one connection; its commands are not the gateway's."""
        self._ours = ours
        self._our_address = str(ours.client_info()["addr"])
        self._line = socket.create_connection(("127.0.0.1", server.port))
        self._line.sendall(b"MONITOR\r\n")
        self._file = self._line.makefile("r", encoding="utf-8", newline="\r\n")
        assert self._file.readline() == "+OK\r\n"
        self._told: list[str] = []
        self._thread = threading.Thread(target=self._listen, args=(self._file,), name="monitor", daemon=True)
        self._thread.start()

    def mark(self, title: str) -> None:
        """Assign the commands from now on to this title."""
        self._ours.echo(f"{MARK} {title}")

    def end(self) -> tuple[str, str]:
        """The commands that clients have sent, and those that scripts have called."""
        self._ours.echo(MARK)
        self._thread.join(20)
        self._file.close()
        self._line.close()
        of_clients: list[str] = []
        of_scripts: list[str] = []
        for line in self._told:
            found = LINE.fullmatch(line)
            assert found, line
            words = WORD.findall(found[2])
            if words[0] == "ECHO" and words[1].startswith(MARK):
                title = words[1].removeprefix(MARK)
                of_clients.append(f"\n#{title}")
                of_scripts.append(f"\n#{title}")
            elif found[1] == "lua":
                of_scripts.append(_named(words, whole=False))
            elif found[1] != self._our_address:
                of_clients.append(_command(words))
        return _folded(_by_phone(of_clients)), _folded(of_scripts)

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if line.endswith(f'"ECHO" "{MARK}"\r\n'):
                return
            self._told.append(line.removesuffix("\r\n"))


def _command(words: list[str]) -> str:
    name = words[0].upper()
    if name in ("EVALSHA", "EVAL"):
        count = int(words[2])
        keys = " ".join(map(normal.key, words[3 : 3 + count]))
        return f"{name} {SCRIPT} {count} {keys} + {len(words) - 3 - count} arguments"
    if name == "SCRIPT":
        return f"SCRIPT {words[1].upper()} {SCRIPT}"
    if name == "SET":
        return " ".join(["SET", normal.key(words[1]), "<value>", *words[3:]])
    if name == "HSET":
        return " ".join(["HSET", normal.key(words[1]), *(f"{normal.key(field)}=…" for field in words[2::2])])
    return _named(words, whole=WHOLE.fullmatch(name) is not None)


def _named(words: list[str], *, whole: bool) -> str:
    """The command with all its words, or with only its first key."""
    name, *rest = words
    if whole or len(rest) < 2:
        return " ".join([name.upper(), *map(normal.key, rest)])
    return f"{name.upper()} {normal.key(rest[0])} + {len(rest) - 1} arguments"


def _by_phone(lines: list[str]) -> list[str]:
    """Sort phones that are read together, because a list has them in SCAN's order."""
    runs = groupby(lines, key=lambda line: READING.match(line) is not None)
    return [
        line
        for reading, run in runs
        for line in (sorted(run, key=lambda read: read.split("{")[1].split("}")[0]) if reading else run)
    ]


def _folded(lines: list[str]) -> str:
    counted = [(line, len(list(same))) for line, same in groupby(lines)]
    return "".join(f"{line}  ({n} times)\n" if n > 1 else f"{line}\n" for line, n in counted).lstrip("\n")
