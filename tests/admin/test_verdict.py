"""The panel's first sentences: what happens to the phone's user now, for how long, and what helps."""

from __future__ import annotations

import re

import pytest

from tests.admin.support import TOKENS, Operator, make_panel, pid_of, signed_in
from tests.api.support import PHONE, Api, Recorder, keys_of, set_failures, wrong
from tests.conftest import SECRET_KEY
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator

PAGE = f"{TOKENS}{pid_of()}/"
FREE = "The user may request a code now: no limit is reached."


def headline(operator: Operator, page: str = PAGE) -> str:
    found = re.search(r'class="headline">([^<]+)<', operator.get(page).text)
    assert found
    return found[1]


def sentences(operator: Operator, page: str = PAGE) -> str:
    return " ".join(re.findall(r"<p[^>]*>([^<]+)</p>", operator.get(page).text.partition("verdict")[2]))


def offered(operator: Operator) -> list[str]:
    """The actions next to the sentences."""
    verdict = operator.get(PAGE).text.partition('class="card verdict')[2].partition("</section>")[0]
    return re.findall(rf'href="{re.escape(PAGE)}([a-z-]+)/"', verdict)


def test_a_phone_that_may_ask(api: Api) -> None:
    operator = signed_in(api)
    assert headline(operator) == FREE
    api.send()
    assert headline(operator) == FREE
    assert re.search(r"an active code for 4 min 5\d s, with 3 tries left", sentences(operator))
    assert offered(operator) == []


def test_a_full_window_says_when_the_user_may_ask_again_and_clearing_helps() -> None:
    sender = Recorder()
    api = make_panel(sender=sender, OTP_PHONE_LIMITS="3/2minute;10/hour;20/day")
    for _ in range(3):
        assert api.send().status_code == 200
    assert api.send().status_code == 429
    operator = signed_in(api)
    expected = r"The user may request a code again in 1 min 5\d s: 3 of 3 sends in 2 minutes\."
    assert re.fullmatch(expected, headline(operator))
    assert offered(operator) == ["clear-sends"]
    reply = operator.act("clear-sends", pid_of())
    assert "Done: the send windows are clear." in operator.get(reply.location).text
    assert headline(operator) == FREE
    assert api.send().status_code == 200
    # The code that the user has still works, and the failures still count.
    assert api.verify(PHONE, sender.code_for(PHONE)).status_code == 200


def test_clearing_the_windows_does_not_make_the_failures_worthless() -> None:
    sender = Recorder()
    api = make_panel(sender=sender, OTP_PHONE_LIMITS="1/minute;10/hour")
    api.send()
    api.verify(PHONE, wrong(sender.code_for(PHONE)))
    operator = signed_in(api)
    operator.act("clear-sends", pid_of())
    assert api.send().status_code == 200
    assert api.redis.hget(keys_of(PHONE).tries, "failures").startswith(b"1:")  # type: ignore[union-attr,arg-type]
    assert api.redis.ttl(keys_of(PHONE).sends) > 0


def test_three_wrong_codes_with_and_without_an_active_code(api: Api, emulator: KavenegarEmulator) -> None:
    operator = signed_in(api)
    for by in (1, 2, 3):
        api.verify(PHONE, f"00000{by}")
    # No code is active, and verify answers 429: the panel says so.
    assert api.verify(PHONE, "000004").status_code == 429
    expected = r"Every code is refused for 4 min 5\d s: 3 wrong codes, and no code is active\. .*"
    assert re.fullmatch(expected, headline(operator))
    assert ">exhausted<" in operator.get(PAGE).text
    assert offered(operator) == ["unlock"]
    api.send()
    for by in (1, 2, 3):
        api.verify(PHONE, wrong(emulator.code_for(PHONE), by))
    assert headline(operator).startswith("No try is left for the code: 3 of 3 wrong.")
    operator.act("unlock", pid_of())
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200
    assert headline(operator) == FREE


@pytest.mark.parametrize(
    ("client", "count", "words"),
    [
        (None, 40, "Locked for 22 h 59 min: 40 wrong codes in 24 hours. The user gets no code"),
        ("net", 10, "Locked for 22 h 59 min: 10 wrong codes from one network. From other networks"),
    ],
)
def test_locks_say_for_how_long(api: Api, client: str | None, count: int, words: str) -> None:
    api.send()
    set_failures(api.redis, keys_of(PHONE), count, seconds=23 * 3600, client=client)
    operator = signed_in(api)
    assert headline(operator).startswith(words)
    assert offered(operator) == ["unlock"]


def test_an_unlock_that_finds_nothing_does_not_say_that_no_code_is_active(api: Api) -> None:
    api.send()
    operator = signed_in(api)
    page = operator.get(operator.act("unlock", pid_of()).location).text
    assert "There was nothing to unlock: no wrong code is counted." in page
    assert "no code is active" not in page


def test_after_a_failed_send_the_page_lists_it(api: Api, emulator: KavenegarEmulator) -> None:
    emulator.set_fault(faults.code(418))
    assert api.send().status_code == 502
    operator = signed_in(api)
    page = operator.get(PAGE).text
    assert "not sent: the provider answers 418: the credit is used up: top it up" in page
    assert "No code was requested" not in page
    assert headline(operator).startswith("The last code was not sent: the provider answers 418")
    emulator.set_fault(None)
    api.send()
    page = operator.get(PAGE).text
    assert "120 Rial" in page
    assert all(entry in page for entry in emulator._by_messageid)
    assert headline(operator) == FREE


def test_a_worker_that_died_leaves_an_outcome_that_is_not_known(api: Api) -> None:
    api.send()
    operator = signed_in(api)
    operator.get(PAGE)
    api.redis.delete(keys_of(PHONE).outcomes)
    assert ">in progress<" in operator.get(PAGE).text
    (entry,) = api.redis.lrange(keys_of(PHONE).sends, 0, -1)
    at, _, rest = entry.decode().partition(":")  # type: ignore[union-attr]
    api.redis.lset(keys_of(PHONE).sends, 0, f"{int(at) - 60_000}:{rest}")
    assert ">outcome not known<" in operator.get(PAGE).text


def test_sessions_under_a_former_secret_are_shown_and_ended(emulator: KavenegarEmulator) -> None:
    old = make_panel(emulator=emulator)
    old.send()
    tokens = old.verify(PHONE, emulator.code_for(PHONE)).get_json()
    new = make_panel(old.redis, emulator=emulator, SECRET_KEY="n" * 40, SECRET_KEY_FALLBACKS=SECRET_KEY)
    operator = signed_in(new)
    page = operator.submit(TOKENS, phone=PHONE).location
    assert re.search(r"Sessions under a former secret</dt><dd>1<", operator.get(page).text)
    assert "done=end-sessions" in operator.submit(f"{page}end-sessions/").location
    reply = new.post("/api/v1/usr/token/refresh", {"refresh_token": tokens["refresh_token"]})
    assert reply.status_code == 401
