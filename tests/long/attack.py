"""An attack from a thousand addresses: everything that a client without a code can do, at the same time.

Each kind has its own threads and is bounded by them and by the time.
"""

from __future__ import annotations

import http.client
import itertools
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.long.site import Site
from tests.long.traffic import OTP, REFRESH, VERIFY, Record, wrong
from tests.support import kavenegar_faults as provider
from tests.support.kavenegar import Call

ADDRESSES = [f"10.{n // 250}.{n % 250}.7" for n in range(1000)]
VICTIM = "+989151234567"
# Phones of the attack begin like this. The provider is slow only for them. So the test shows how the
# gateway's own threads affect other clients.
SENT, GUESSED = "+98916", "+98917"
PROVIDER_SECONDS = 4.0
IDLE = 1000
# More than the sends that four workers may have in progress.
SENDERS = 120
GUESSES_OF_PASSWORD = 400
LOGIN = "/admin/login/"


class Attack:
    """Threads from start to end of a ``with`` block. ``answers`` counts those that are not in the record."""

    def __init__(self, site: Site, record: Record, tokens: list[str]) -> None:
        """``tokens``: refresh tokens of sessions of the attackers' own, each for a chain."""
        self._site = site
        self._record = record
        self.answers: Counter[str] = Counter()
        # Answers to requests that gunicorn itself refuses.
        self.refusals: Counter[str] = Counter()
        self.over = threading.Event()
        self._numbers = itertools.count()
        self._passwords = itertools.count()
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        kinds: list[tuple[Callable[[], object], int]] = [
            (self._send, SENDERS),
            (self._guess, 6),
            (self._guess_password, 8),
            (self._guess_from_subnets, 3),
            (self._big_headers, 2),
            (self._broken_request, 1),
        ]
        self._threads = [
            threading.Thread(target=self._repeat, args=[act])
            for act, threads in kinds
            for _ in range(threads)
        ]
        self._threads += [threading.Thread(target=self._chain, args=[token]) for token in tokens]

    def __enter__(self) -> Self:
        self._site.emulator.set_fault(_slow_for_the_attack, action="sms/send")
        for thread in self._threads:
            thread.start()
        for gateway in self._site.gateways:
            # Until the gateway accepts no more.
            with suppress(OSError):
                for _ in range(IDLE):
                    self._idle.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=5))
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()
        for connection in self._idle:
            connection.close()
        self._site.emulator.set_fault(None)

    def _repeat(self, act: Callable[[], object]) -> None:
        while not self.over.is_set():
            act()

    def _send(self) -> None:
        phone = f"{SENT}{next(self._numbers):07d}"
        answer = self._record.call(OTP, {"phone_number": phone}, address=random.choice(ADDRESSES))
        if answer.status != 200:
            self.over.wait(1)

    def _guess(self) -> None:
        phone = f"{GUESSED}{random.randrange(10**7):07d}"
        self._record.call(VERIFY, {"phone_number": phone, "code": "123456"}, address=random.choice(ADDRESSES))

    def _guess_from_subnets(self) -> None:
        address = f"2001:db8:1:{random.randrange(2**16):x}::1"
        body = {"phone_number": VICTIM, "code": wrong(self._site.code_of(VICTIM))}
        self._record.call(VERIFY, body, address=address)
        self.over.wait(0.05)

    def _chain(self, token: str) -> None:
        while not self.over.is_set():
            answer = self._record.call(REFRESH, {"refresh_token": token}, address=random.choice(ADDRESSES))
            token = answer.body.get("refresh_token", token)
            if answer.status != 200:
                self.over.wait(0.5)

    def _guess_password(self) -> None:
        if next(self._passwords) >= GUESSES_OF_PASSWORD:
            self.over.wait()
            return
        headers = {"X-Forwarded-For": random.choice(ADDRESSES)}
        status, page, cookie = self._exchange("GET", LOGIN, headers)
        self._count(f"panel's page {status}")
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        if found:
            headers |= {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
            status, _, _ = self._exchange("POST", LOGIN, headers, f"csrf={found[1]}&password=wrong-password")
            self._count(f"panel's login {status}")

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, str, str]:
        port = random.choice(self._site.gateways).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=45)
        try:
            connection.request(method, path, body, headers | {"Connection": "close"})
            response = connection.getresponse()
            page = response.read().decode(errors="replace")
            return response.status, page, (response.headers["Set-Cookie"] or "").partition(";")[0]
        except (OSError, http.client.HTTPException):
            return 0, "", ""
        finally:
            connection.close()

    def _big_headers(self) -> None:
        lines = b"".join(b"X-Filler-%d: %s\r\n" % (n, b"x" * 7000) for n in range(100))
        self._refused(
            b"POST " + OTP.encode() + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"Content-Length: 0\r\n\r\n"
        )
        self.over.wait(0.3)

    def _broken_request(self) -> None:
        broken = random.choice(
            [
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
                b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
                b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nxyz",
                # The header is ignored, so the application refuses this one: there is no such path.
                b"GET /x HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /y\r\n\r\n",
            ]
        )
        self._refused(broken)
        self.over.wait(0.3)

    def _refused(self, request: bytes) -> None:
        """Send the bytes; record the status, and the type and id that a refusal must also have."""
        port, head = random.choice(self._site.gateways).port, b""
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=45) as connection:
            # The gateway may answer and close before it has read everything.
            with suppress(OSError):
                connection.sendall(request)
            while b"\r\n\r\n" not in head and (data := connection.recv(65_536)):
                head += data
        if not head:
            self._count("refused without an answer")
            return
        lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").lower().split("\r\n")
        names = {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines[1:]}
        parts = [lines[0].split()[1], names.get("content-type", "no type")]
        parts += [] if "x-request-id" in names else ["no X-Request-ID"]
        with self._lock:
            self.refusals[" ".join(parts)] += 1

    def _count(self, name: str) -> None:
        with self._lock:
            self.answers[name] += 1


def _slow_for_the_attack(call: Call) -> None:
    receptor = call.request.form.get("receptor", "")
    attacked = f"+98{receptor[-10:]}".startswith(SENT)
    provider.slow(PROVIDER_SECONDS if attacked else 0)(call)
