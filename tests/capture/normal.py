"""Replaces the parts of a reply, a log line or a key that differ between two runs, and no other part."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

JWT = re.compile(r"(eyJ[\w-]+)\.([\w-]+)\.[\w-]+")
# Countdowns begin at whole tens of seconds. The time that the run itself has taken is added again.
GRID = 10
# The member's or header's name decides whether they are rounded up or to the nearest second.
COUNTDOWNS = re.compile(r'((?:;t=)|(?:^Retry-After: )|(?:"(?:expires_in|resend_in)": ?))(\d+)', re.MULTILINE)
# Differences of two times in whole seconds.
DIFFERENCES = re.compile(r'((?:"refresh_expires_in": ?)|(?:Max-Age=))(\d+)')
SPAN = re.compile(r"\b(\d+) min (\d\d) s\b")
PLAIN = (
    (re.compile(r"^(X-Request-ID: )[a-z]{24}$", re.MULTILINE), r"\1<24 letters>"),
    (re.compile(r"^Date: .+$", re.MULTILINE), "Date: <date>"),
    (re.compile(r"Expires=[^;\n]+"), "Expires=<date>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r'(<time datetime="<time>">)\d\d:\d\d<'), r"\1<when><"),
    (re.compile(r'(name="csrf" value=")[\w-]{32}"'), r'\1<32 characters>"'),
    (re.compile(r"(/undo/|[?;&]undo=)[\w-]{12}"), r"\1<undo>"),
    (re.compile(r'(__Secure-device=|"device_token":")(?:[\w-]{40}\.?)+'), r"\1<device token>"),
    (re.compile(r"(admin_session=)[\w.-]{20,}"), r"\1<session>"),
)
# The header is made from a set.
ALLOW = re.compile(r"^(Allow: )(.+)$", re.MULTILINE)
USAGE_LABEL = re.compile(r"\b\d\d:\d\d\b|\b\d\d-\d\d\b")
KEYS = (
    (re.compile(r"(:session:)[\w-]{12}([\w-]{4})$"), r"\1<id>\2"),
    (re.compile(r"(:call:)[\w-]{12}"), r"\1<id>"),
    (re.compile(r"(:undo:)[\w-]{12}"), r"\1<undo>"),
    (re.compile(r"(admin:session:)[0-9a-f]{64}"), r"\1<digest>"),
    (re.compile(r"(provider:delivery:(?:sample|turn):)\d+"), r"\1<minute>"),
    (re.compile(r"(\{usage\}:batch:)\S+"), r"\1<id>"),
    (re.compile(r"(\{usage\}:(?:[a-z]+:)?[a-z]+:)\d+"), r"\1<start>"),
)


def reply(text: str, elapsed: float) -> str:
    """Headers and body; ``elapsed``: seconds since the first countdown began."""
    # The panel's cookie looks like a token.
    text = _without_ids(text)
    text = JWT.sub(lambda found: _token(found, elapsed), text)
    text = ALLOW.sub(lambda m: m[1] + ", ".join(sorted(m[2].split(", "))), text)
    text = COUNTDOWNS.sub(lambda m: m[1] + str(_settled(int(m[2]), int(elapsed + 0.5))), text)
    text = DIFFERENCES.sub(lambda m: m[1] + str(_settled(int(m[2]), int(elapsed) + 1)), text)
    return SPAN.sub(lambda m: _span(60 * int(m[1]) + int(m[2]), elapsed), text)


def request(text: str) -> str:
    """The request as a client has sent it."""
    return JWT.sub("<token>", _without_ids(text))


def usage(text: str) -> str:
    """The usage page: the times in the names of its columns."""
    return USAGE_LABEL.sub("<when>", text)


def key(text: str) -> str:
    """A key of Redis. Ids that are keyed hashes are kept, because the secret is always the same."""
    for pattern, instead in KEYS:
        text = pattern.sub(instead, text)
    return text


def log_line(line: str) -> str:
    """One line of the log; a line that is not JSON is kept unchanged."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return line
    for name, value in event.items():
        if name in ("timestamp", "duration_ms"):
            event[name] = f"<{name}>"
        elif name == "request_id" and re.fullmatch(r"[a-z]{24}", value):
            event[name] = "<24 letters>"
        elif name == "exception":
            event[name] = f"<traceback> {value.splitlines()[-1]}"
    return json.dumps(event, ensure_ascii=False)


def _without_ids(text: str) -> str:
    for pattern, instead in PLAIN:
        text = pattern.sub(instead, text)
    return text


def _settled(value: int, slack: int) -> int:
    """The next whole ten, if no more than ``slack`` is missing."""
    up = -(-value // GRID) * GRID
    return up if up - value <= slack else value


def _span(value: int, elapsed: float) -> str:
    settled = _settled(value, math.ceil(elapsed))
    return f"{settled // 60} min {settled % 60:02d} s"


def _token(found: re.Match[str], elapsed: float) -> str:
    head, claims = (part(found[i]) for i in (1, 2))
    began = claims["auth_time"]
    for name in ("iat", "exp", "auth_time"):
        after = claims[name] - began
        late = after % GRID
        claims[name] = f"login + {after - late if late <= int(elapsed) + 1 else after} s"
    claims["jti"] = re.sub(r"^[\w-]{12}$", "<id>", claims["jti"])
    claims["sid"] = re.sub(r"^[\w-]{12}([\w-]{4})$", r"<id>\1", claims["sid"])
    return f"<JWT {json.dumps(head)} {json.dumps(claims)}>"


def part(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found
