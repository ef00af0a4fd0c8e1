"""Clients that log in, guess, come late, repeat tokens and revoke, and record what the contract forbids."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.long.traffic import ME, OTP, REFRESH, REVOKE, VERIFY, Answer, Record, any_address, garbage, wrong

CODE_SECONDS = 30
GRACE = 10.0
# A client repeats an unanswered refresh for less time than the grace.
REPEATS = 6.0
VISITS = 4


@dataclass
class Session:
    """A login as its client knows it; ``live`` is None if the client cannot know."""

    phone: str
    access: str
    refresh: str
    live: bool | None = True
    # Rotated tokens: the token, its successor, and when its rotation may have happened at the earliest.
    used: list[tuple[str, str, float]] = field(default_factory=list)


class Person:
    """One client after another in one thread: two requests about one of its phones are never parallel."""

    def __init__(self, record: Record, number: int) -> None:
        self._record = record
        self._site = record.site
        self._phones = (f"+98912{number:03d}{n:04d}" for n in itertools.count())
        self._current: list[tuple[str, int]] = []
        self.sessions: list[Session] = []
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._address = any_address()

    def run(self, over: threading.Event) -> None:
        """Visit after visit until it is over."""
        while not over.is_set():
            self._visit()
            due = [action for at, action in self._later if at < time.time()]
            self._later = [(at, action) for at, action in self._later if at >= time.time()]
            for action in due:
                action()
            over.wait(random.uniform(0, 0.2))

    def finish(self) -> None:
        """Every session that has not been ended must still work."""
        for session in self.sessions:
            if session.live:
                self._refresh(session)

    def _visit(self) -> None:
        # One visit in five comes from the address of the visit before; its limit may refuse this visit.
        self._address = self._address if random.random() < 0.2 else any_address()
        phone, visits = self._phone()
        if random.random() < 0.3:
            garbage(self._record, self._address)
        for _ in range(random.choice((1, 1, 1, 1, 2, 4))):
            if self._send(phone).status == 0:
                return
        code = self._site.code_of(phone)
        for _ in range(random.choice((0, 0, 0, 1, 2, 3))):
            if self._verify(phone, wrong(code)).status == 0:
                return
        if code:
            if random.random() < 0.2:
                self._in(CODE_SECONDS + 3, lambda: self._come_late(phone, code))
            if self._log_in(phone, code) == 0:
                return
        # An unanswered request may still run, so its phone is not used again.
        if visits + 1 < VISITS:
            self._current.append((phone, visits + 1))

    def _phone(self) -> tuple[str, int]:
        if self._current and random.random() < 0.6:
            return self._current.pop(random.randrange(len(self._current)))
        return next(self._phones), 0

    def _send(self, phone: str) -> Answer:
        answer = self._record.call(OTP, {"phone_number": phone}, address=self._address, phone=phone)
        if answer.status == 200:
            answer.guess = self._site.code_of(phone) or ""
            if not answer.guess:
                self._record.violation("a send was confirmed, and no message went out")
        return answer

    def _verify(self, phone: str, code: str) -> Answer:
        body = {"phone_number": phone, "code": code}
        return self._record.call(VERIFY, body, address=self._address, phone=phone, guess=code)

    def _log_in(self, phone: str, code: str) -> int:
        for _ in range(10):
            answer = self._verify(phone, code)
            if answer.status != 503:
                break
            time.sleep(0.3)
        if answer.status == 200:
            session = Session(phone, answer.body["access_token"], answer.body["refresh_token"])
            self.sessions.append(session)
            self._use(session)
        return answer.status

    def _come_late(self, phone: str, code: str) -> None:
        """By now the code has expired. A retired phone has no record that could be disturbed."""
        if self._verify(phone, code).status == 200:
            self._record.violation("an expired code was accepted")

    def _use(self, session: Session) -> None:
        if random.random() < 0.5:
            self._look(session)
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            self._refresh(session)
            if session.used and random.random() < 0.4:
                self._repeat(session, *random.choice(session.used))
        fate = random.random()
        if fate < 0.2:
            self._revoke(session)
        elif fate < 0.4 and session.used:
            self._in(GRACE + 2, lambda: self._reuse(session))

    def _look(self, session: Session) -> None:
        bearer = {"Authorization": f"Bearer {session.access}"}
        answer = self._record.call(ME, method="GET", headers=bearer, address=self._address)
        if answer.status not in (0, 200) or answer.body.get("phone_number", session.phone) != session.phone:
            self._record.violation(f"an access token was answered {answer.status}")

    def _refresh(self, session: Session) -> None:
        """Repeat it until it is answered. Within the grace, the answer is the pair of the lost answer."""
        began, token = time.time(), session.refresh
        answer = self._repeated(REFRESH, token)
        if answer.status == 200:
            session.access, session.refresh = answer.body["access_token"], answer.body["refresh_token"]
            session.used.append((token, session.refresh, began))
            self._look(session)
        elif answer.status == 401:
            if session.live and answer.began - began < REPEATS:
                self._record.violation("the token of a live session was refused")
            session.live = None
        elif answer.status != 429:
            session.live = None

    def _repeat(self, session: Session, token: str, successor: str, rotated: float) -> None:
        if not session.live or time.time() - rotated > REPEATS:
            return
        answer = self._present(token)
        if answer.status == 200 and answer.body["refresh_token"] != successor:
            self._record.violation("a repeated refresh gave another pair")
        elif answer.status == 401 and answer.ended - rotated < GRACE:
            self._record.violation("a refresh was not repeated within the grace")

    def _reuse(self, session: Session) -> None:
        """A token that was used before the grace ends the session."""
        if not session.live or not session.used:
            return
        old = session.used[0][0]
        answer = self._repeated(REFRESH, old)
        session.live = False if answer.status == 401 else None
        if answer.status == 200:
            self._record.violation("a used refresh token was accepted after the grace")
        if session.live is False and self._repeated(REFRESH, session.refresh).status == 200:
            self._record.violation("a session went on after a reuse of its token")

    def _revoke(self, session: Session) -> None:
        answer = self._repeated(REVOKE, session.refresh)
        session.live = False if answer.status == 204 else None
        if session.live is False and self._present(session.refresh).status == 200:
            self._record.violation("a revoked session went on")

    def _present(self, token: str, route: str = REFRESH) -> Answer:
        return self._record.call(route, {"refresh_token": token}, address=any_address())

    def _repeated(self, route: str, token: str) -> Answer:
        began = time.time()
        answer = self._present(token, route)
        while answer.status in (0, 503) and time.time() - began < REPEATS:
            time.sleep(0.3)
            answer = self._present(token, route)
        return answer

    def _in(self, seconds: float, action: Callable[[], object]) -> None:
        self._later.append((time.time() + seconds, action))


class Racers:
    """Several clients that do the same for the same phone at once, at both gateways."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.phones: list[str] = []

    def run(self, over: threading.Event) -> None:
        with ThreadPoolExecutor(6) as pool:
            for n in itertools.count():
                phone = f"+98913{n:07d}"
                self.phones.append(phone)
                self._at_once(pool, OTP, phone, [""] * 6)
                code = self._record.site.code_of(phone)
                if code:
                    self._at_once(pool, VERIFY, phone, [code, code, wrong(code), code, wrong(code), code])
                    self._at_once(pool, VERIFY, phone, [code] * 3)
                if over.wait(random.uniform(0.2, 1)):
                    return

    def _at_once(self, pool: ThreadPoolExecutor, route: str, phone: str, guesses: list[str]) -> None:
        def call(guess: str) -> Answer:
            body = {"phone_number": phone} | ({"code": guess} if guess else {})
            return self._record.call(route, body, address=any_address(), phone=phone, guess=guess)

        list(pool.map(call, guesses))
