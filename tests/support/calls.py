"""The calls of scripts for phones, as the proxy has seen them: which ran, and which were answered in time.

The contract has one exception to "a 503 is final": Redis ran the call in time, and each of its replies was
lost until the timeout. Only this record can show that a 503 is such an exception.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from otp_gateway.store.connect import REPLY_TIMEOUT
from otp_gateway.store.scripts import sources

PID = re.compile(rb"otp:\{([A-Za-z0-9_-]{22})\}")
TAG = re.compile(rb"\*\d+\r\n\$\d+\r\n([a-z]+)\r\n")
# A reply that came later than this may have come too late for the gateway.
IN_TIME = 0.8 * REPLY_TIMEOUT
# Seconds by which a reply may come later than its script has run. Tests stop Redis for two seconds, also
# between the script and its reply.
LATE = 2.5
EFFECTS = {"issued", "verified", "wrong", "withdrawn", "rotated", "revoked"}


@dataclass(frozen=True)
class Attempt:
    """The first word of Redis's reply, and when the proxy had it; ``seconds`` until the gateway had it.

    ``seconds`` is None if the gateway may never have had it.
    """

    tag: str
    seconds: float | None
    at: float

    @property
    def answered(self) -> bool:
        """Whether the gateway has the reply."""
        return bool(self.tag) and self.seconds is not None and self.seconds < IN_TIME


@dataclass
class Call:
    """One call: all attempts have the same bytes, so the same id and deadline."""

    script: str
    words: list[bytes]
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def unknown(self) -> bool:
        """Whether Redis ran it in time, and no reply came in time, so that the gateway cannot know that."""
        ran = next((attempt.at for attempt in self.attempts if attempt.tag in EFFECTS), None)
        if ran is None or ran > self.deadline / 1000 + LATE:
            return False
        return not any(attempt.answered for attempt in self.attempts)

    def __str__(self) -> str:
        attempts = ", ".join(
            f"{each.tag or 'no reply'} {'lost' if each.seconds is None else f'after {each.seconds:.3f} s'}"
            for each in self.attempts
        )
        return f"{self.script}: {attempts}"

    @property
    def deadline(self) -> int:
        """In ms of Redis's time: the first argument after the keys."""
        return int(self.words[3 + int(self.words[2])])


class Calls:
    """The calls that the proxy reports, by phone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, dict[bytes, Call]] = defaultdict(dict)
        self._names = {
            hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode(): name
            for name, text in sources().items()
        }
        self.replies = 0
        self.lost = 0

    def note(self, request: bytes, reply: bytes | None, seconds: float | None) -> None:
        """Redis's reply to a request, None if there was none; ``seconds`` until the gateway had it."""
        pid = PID.search(request)
        with self._lock:
            self.replies += 1
            self.lost += seconds is None
            if not pid:
                return
            words = request.split(b"\r\n")[2::2]
            if words[0].upper() != b"EVALSHA":
                return
            call = self._calls[pid[1].decode()].setdefault(
                request, Call(self._names.get(words[1], "unknown"), words)
            )
            match = TAG.match(reply) if reply else None
            tag = match[1].decode() if match else ""
            attempt = Attempt(tag, seconds, time.time())
            earlier = call.attempts[-1] if call.attempts else None
            if seconds is None and earlier and earlier.tag == tag and earlier.seconds is not None:
                # The proxy takes it back.
                attempt = Attempt(tag, None, call.attempts.pop().at)
            call.attempts.append(attempt)

    def unknown(self, script: str) -> int:
        """How many calls of one script are such exceptions, of all phones together."""
        with self._lock:
            return sum(
                call.unknown
                for calls in self._calls.values()
                for call in calls.values()
                if call.script == script
            )

    def of(self, pid: str, script: str) -> list[Call]:
        """The phone's calls of one script."""
        with self._lock:
            return [call for call in self._calls[pid].values() if call.script == script]
