"""The conditions for each phone, from the clients' record, the provider's messages and Redis at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.long.people import CODE_SECONDS
from tests.long.site import Site
from tests.long.traffic import OTP, REFRESH, VERIFY, Answer
from tests.metrics.support import Scrape

WINDOWS = ((3, 120), (10, 3600), (20, 86_400))
TRIES = 3
CLIENT_BUDGET = 10
SCRIPTS = ("issue", "verify", "withdraw")
# The counter of a route's outcomes, and the name of a success.
OUTCOMES = {
    OTP: ("sends_total", "sent"),
    VERIFY: ("verifies_total", "verified"),
    REFRESH: ("token_refreshes_total", "refreshed"),
}


@dataclass(frozen=True)
class Charge:
    """One entry in a phone's log of sends; ``at`` in ms of Redis's time."""

    at: int
    send_id: str


class Phone:
    """All that is known about one phone after the soak."""

    def __init__(self, site: Site, number: str, answers: list[Answer], messages: list[str]) -> None:
        """``messages``: the references of the messages that the provider sent to the phone."""
        self.number = number
        self.answers = sorted(answers, key=lambda answer: answer.began)
        self.sends = [answer for answer in self.answers if answer.route == OTP]
        self.verifies = [answer for answer in self.answers if answer.route == VERIFY]
        self._messages = messages
        keys = site.keys(number)
        entries = [entry.decode().split(":") for entry in site.store.lrange(keys.sends, 0, -1)]
        self.charges = [Charge(int(at), send_id) for at, send_id, *_ in entries]
        self._references = {str(site.codes.reference(charge.send_id)) for charge in self.charges}
        failures = site.store.hget(keys.tries, "failures")
        self.failures = int(failures.split(b":")[0]) if failures else 0
        self._calls = [call for name in SCRIPTS for call in site.calls.of(keys.pid, name)]
        issues, withdrawals = site.calls.of(keys.pid, "issue"), site.calls.of(keys.pid, "withdraw")
        self._deadlines = {word.decode(): call.deadline for call in issues for word in call.words}
        # Sends that the gateway tried to withdraw, but Redis never did.
        tried = [call for call in withdrawals if all(each.tag != "withdrawn" for each in call.attempts)]
        self.kept = [
            charge for charge in self.charges if any(charge.send_id.encode() in call.words for call in tried)
        ]
        self.unknown_sends = sum(call.unknown for call in issues)
        self.unknown_verifies = sum(call.unknown for call in site.calls.of(keys.pid, "verify"))

    def story(self) -> str:
        """Its requests, and the calls of Redis that did not go smoothly: for a check that fails."""
        lines = [
            f"{a.began:.3f} to {a.ended:.3f} {a.route.rpartition('/')[2]} {a.outcome} {a.guess}"
            for a in self.answers
        ]
        lines += [str(call) for call in self._calls if len(call.attempts) > 1 or call.unknown]
        return "\n  ".join([self.number, *lines, *map(str, self.charges)])

    def check_windows(self) -> Iterator[str]:
        """Charges in Redis and messages at the provider are within the windows."""
        for limit, seconds in WINDOWS:
            for first, beyond in zip(self.charges, self.charges[limit:], strict=False):
                if beyond.at - first.at < 1000 * seconds:
                    yield f"{limit + 1} sends in {seconds} s"
        if not set(self._messages) <= self._references:
            yield "a message went out, and its send is not charged"
        if len(self._messages) < sum(answer.status == 200 for answer in self.sends):
            yield "a send was confirmed, and no message went out"
        for charge in self.charges:
            if charge.at >= self._deadlines.get(charge.send_id, charge.at + 1):
                yield "a send was charged after its deadline"

    def check_charges(self) -> Iterator[str]:
        """Only a send that may have been delivered is charged; a 503 and a failure are not."""
        least = sum(answer.status in (200, 504) for answer in self.sends)
        most = least + _unanswered(self.sends) + len(self.kept) + self.unknown_sends
        if not least <= len(self.charges) <= most:
            yield f"{len(self.charges)} charges, and not {least} to {most}"

    def check_tries(self) -> Iterator[str]:
        """The counted guesses are exactly those that were answered wrong."""
        wrong = [answer for answer in self.verifies if answer.code == "invalid_code"]
        sent = min(
            (answer.ended for answer in self.sends if answer.status in (200, 504)), default=float("inf")
        )
        least = sum(answer.began >= sent for answer in wrong)
        most = len(wrong) + _unanswered(self.verifies) + self.unknown_verifies
        if not least <= self.failures <= most:
            yield f"{self.failures} wrong guesses are counted, and not {least} to {most}"

    def check_logins(self) -> Iterator[str]:
        """A code gives one login."""
        logins = Counter(answer.guess for answer in self.verifies if answer.status == 200)
        yield from (f"a code gave {n} logins" for n in logins.values() if n > 1)

    def check_promises(self) -> Iterator[str]:
        """A confirmed code gives a login while it is valid, also after other answers 503 or 502.

        This is true only for a phone whose requests came one by one.
        """
        if self.kept or self.unknown_sends or self.unknown_verifies:
            return
        active = _Active()
        for answer in self.answers:
            if answer.status == 0:
                return
            if answer.route == OTP:
                active.sent(answer)
            else:
                yield from active.verified(answer)


@dataclass
class _Active:
    """The active code of a phone, as its client can know it. No code: there is none, or it is unknown."""

    code: str = ""
    # The earliest time at which it was made.
    since: float = 0.0
    unconfirmed: bool = False
    tries: int = 0
    failures: int = 0

    def sent(self, answer: Answer) -> None:
        if answer.status == 504:
            # Its code is active, and the client may never see it.
            self.since = self.since if self.unconfirmed else answer.began
            self.code, self.unconfirmed = "", True
        elif answer.status == 200 and answer.guess != self.code:
            if not self.unconfirmed:
                self.since, self.tries = answer.began, 0
            self.code, self.unconfirmed = answer.guess, False

    def verified(self, answer: Answer) -> Iterator[str]:
        if answer.status == 200:
            if self.code and answer.guess != self.code:
                yield "another code than the active one gave a login"
            self.code, self.unconfirmed, self.tries = "", False, 0
        elif answer.code in ("invalid_code", "too_many_attempts"):
            valid = answer.ended < self.since + CODE_SECONDS - 1 and self.tries < TRIES
            if self.code and answer.guess == self.code and valid and self.failures < CLIENT_BUDGET:
                yield f"the active code was answered {answer.code}"
            self.tries += answer.status == 400
            self.failures += answer.status == 400


def phones(site: Site, answers: Iterable[Answer]) -> list[Phone]:
    """Every phone in the record."""
    by_phone: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.phone:
            by_phone[answer.phone].append(answer)
    messages: dict[str, list[str]] = defaultdict(list)
    for message in site.emulator.messages:
        messages[message.receptor].append(message.localid or "")
    return [Phone(site, number, some, messages[number]) for number, some in by_phone.items()]


def check_metrics(scrape: Scrape, answers: Iterable[Answer]) -> Iterator[str]:
    """One gateway's counters are its clients' counts.

    A request without an answer may have been counted, or not: its worker ended before or after it counted.
    """
    answers = list(answers)
    unanswered = Counter(answer.route for answer in answers if answer.status == 0)
    answered = [answer for answer in answers if answer.status]

    def compare(what: str, route: str, counted: float, least: int) -> Iterator[str]:
        if not least <= counted <= least + unanswered[route]:
            yield f"{what}: {counted:g} counted, {least} answered, {unanswered[route]} unanswered"

    for route, least in Counter(answer.route for answer in answered).items():
        yield from compare(route, route, scrape.total("http_requests_total", route=route), least)
    for (route, status), least in Counter((a.route, str(a.status)) for a in answered).items():
        counted = scrape.total("http_requests_total", route=route, status=status)
        yield from compare(f"{route} {status}", route, counted, least)
    for route, (counter, success) in OUTCOMES.items():
        names = Counter(answer.code or success for answer in answered if answer.route == route)
        for name, least in names.items():
            yield from compare(f"{counter} {name}", route, scrape.total(counter, outcome=name), least)


def _unanswered(answers: list[Answer]) -> int:
    return sum(answer.status == 0 for answer in answers)
