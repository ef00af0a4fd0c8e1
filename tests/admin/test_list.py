"""The list and the page of one phone: they show every phone and its state in a word, and no secret."""

from __future__ import annotations

import re
from typing import cast

import pytest
import redis

from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from otp_gateway.store.client import RedisClient
from otp_gateway.store.connect import connect
from otp_gateway.store.keys import RECENT_PHONES, PhoneKeys
from otp_gateway.store.phone_list import PAGE, Filter, PhoneList
from otp_gateway.store.phone_state import PhoneState, PhoneStateStore
from otp_gateway.store.recent_phones import Position, RecentPhones
from tests.admin.support import (
    MASKED,
    TOKENS,
    USAGE,
    Operator,
    eternal,
    make_panel,
    pid_of,
    shown,
    signed_in,
)
from tests.api.support import AWAY, OTHER, PHONE, Api, Recorder, keys_of, set_failures, wrong
from tests.conftest import SECRET_KEY, make_settings
from tests.store.bench import Bench
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import start_cluster

ALL = Filter()
SPELLINGS = [
    "+989123456789",
    "09123456789",
    "9123456789",
    "00989123456789",
    "+98 (0)912-345-6789",
    "۰۹۱۲۳۴۵۶۷۸۹",
    "٠٩١٢٣٤٥٦٧٨٩",
    "\u200f 0912 345 6789",
]


def panel_of(store: RedisClient) -> PhoneStateStore:
    return PhoneStateStore(store, make_settings().policy)


def list_of(store: RedisClient) -> PhoneList:
    return PhoneList(RecentPhones(store), panel_of(store), make_settings().policy)


def fill(store: redis.Redis, number: int, *, others: int = 0) -> set[str]:
    """So many phones with an active code, as issue.lua and the recorder store them, the last one newest.

    ``others``: for each phone, so many keys without a code.
    """
    codes = Codes(SECRET_KEY, 6)
    pids = set()
    pipeline = store.pipeline(transaction=False)
    now = 1000 * int(store.time()[0])
    for n in range(number):
        phone = PhoneNumber(f"+98912{n:07d}")
        keys, nonce = keys_of(phone.e164), codes.propose(phone).nonce
        pids.add(keys.pid)
        pipeline.hset(
            keys.code, mapping={"nonce": nonce, "digest": "d" * 22, "phone": MASKED, "channel": "sms"}
        )
        pipeline.pexpire(keys.code, 300_000)
        pipeline.rpush(keys.sends, f"{now - 100_000 + n}:{n:012d}:{nonce}:sms")
        pipeline.pexpire(keys.sends, 300_000)
        pipeline.zadd(RECENT_PHONES, {f"{keys.pid} {phone.masked}": now - 100_000 + n})
        for other in range(others):
            pipeline.set(f"other:{n}:{other}", 1, ex=300)
    pipeline.execute()
    return pids


def every_page(phones: PhoneList, wanted: Filter = ALL) -> list[list[str]]:
    pages: list[list[str]] = []
    position: Position | None = None
    while True:
        page = phones.page(wanted, position)
        pages.append([listed.state.pid for listed in page.phones])
        position = page.after
        if position is None:
            return pages


def test_newest_first_is_true_over_all_pages(redis_client: RedisClient) -> None:
    fill(cast("redis.Redis", redis_client), 500, others=1)
    pages = every_page(list_of(redis_client))
    newest = [pid_of(f"+98912{n:07d}") for n in reversed(range(500))]
    assert [pid for page in pages for pid in page] == newest
    assert [len(page) for page in pages] == [PAGE] * 20


def test_a_phone_that_comes_in_meanwhile_moves_no_page(redis_client: RedisClient) -> None:
    store = cast("redis.Redis", redis_client)
    fill(store, 60)
    phones = list_of(redis_client)
    first = phones.page(ALL)
    store.zadd(RECENT_PHONES, {f"{pid_of('+989350000000')} +98935***0000": 10**13})
    second = phones.page(ALL, first.after)
    assert [listed.state.pid for listed in second.phones] == [
        pid_of(f"+98912{n:07d}") for n in range(34, 9, -1)
    ]


def test_the_links_of_the_pages_lead_through_all_phones(api: Api) -> None:
    pids = fill(api.redis, 500)
    operator = signed_in(api)
    found: list[str] = []
    path: str | None = TOKENS
    while path:
        page = operator.get(path).text
        found += shown(page)
        following = re.search(r'<a[^>]*rel="next"[^>]*href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else None
    assert sorted(found) == sorted(pids)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "-1",
        "0-x",
        "0-" + "a" * 22,
        "9" * 15 + "-" + "a" * 22,
        "9" * 5000 + "-" + "a" * 22,
        "0-" + "a" * 5000,
        "۱-" + "a" * 22,
        "²",
        "0-0-0",
    ],
)
def test_no_cursor_breaks_the_list(api: Api, cursor: str) -> None:
    api.send()
    operator = signed_in(api)
    assert operator.get(TOKENS, query_string={"before": cursor}).status_code == 200


def test_an_empty_store_has_an_empty_list(api: Api) -> None:
    page = signed_in(api).get()
    assert page.status_code == 200
    assert shown(page.text) == []


def state_of(api: Api, e164: str = PHONE) -> PhoneState:
    return panel_of(api.redis).phone([pid_of(e164)])


def used(state: PhoneState) -> list[int]:
    return [use.used for use in state.windows]


def test_a_phones_story_in_states(api: Api, emulator: KavenegarEmulator) -> None:
    assert state_of(api).state == "idle"
    api.send()
    state = state_of(api)
    code = emulator.code_for(PHONE)
    assert (state.state, state.masked, state.tries, state.failures.failures) == ("active", MASKED, 0, 0)
    assert state.code_left == pytest.approx(300, abs=5)
    api.verify(PHONE, wrong(code))
    api.send()
    state = state_of(api)
    assert (state.state, state.tries, state.failures.failures) == ("active", 1, 1)
    assert state.failures.left == pytest.approx(86_400, abs=5)
    assert used(state) == [2, 2, 2]
    for by in (2, 3):
        api.verify(PHONE, wrong(code, by))
    state = state_of(api)
    assert (state.state, state.tries, state.failures.failures) == ("exhausted", 3, 3)
    api.redis.hdel(keys_of(PHONE).tries, "tries", "tries_end")
    assert api.verify(PHONE, code).status_code == 200
    state = state_of(api)
    assert (state.state, state.code_left, state.nonce, state.tries) == ("verified", 0, None, 0)
    assert state.sessions == 1
    assert state.masked == MASKED
    set_failures(api.redis, keys_of(PHONE), 50, seconds=100)
    assert state_of(api).state == "locked"
    api.pass_time(300)
    assert state_of(api).state == "idle"


def test_the_list_shows_each_state(api: Api, emulator: KavenegarEmulator) -> None:
    phones = [PHONE, OTHER, "+989121111111", "+989122222222"]
    for phone in phones:
        api.send(phone)
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200
    for by in (1, 2, 3):
        api.verify(OTHER, wrong(emulator.code_for(OTHER), by))
    set_failures(api.redis, keys_of(phones[2]), 50, seconds=100)
    page = signed_in(api).get().text
    rows = {pid: row for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) for pid in shown(row)}
    for phone, state in zip(phones, ("verified", "exhausted", "locked", "active"), strict=True):
        assert re.search(rf">{state}<", rows[pid_of(phone)]), phone


def test_sessions_that_have_ended_are_not_counted(redis_client: RedisClient) -> None:
    bench = Bench(redis_client)
    panel = PhoneStateStore(redis_client, bench.policy)
    pid = bench.codes.pid(PhoneNumber(PHONE))
    first = bench.verify(bench.issue())
    bench.advance(20 * 86_400)
    bench.verify(bench.issue())
    assert panel.phone([pid]).sessions == 2
    bench.advance(11 * 86_400)
    assert panel.phone([pid]).sessions == 1
    bench.sessions.revoke(PhoneNumber(PHONE), first.id, bench.caller())
    assert panel.phone([pid]).sessions == 1


def test_sends_are_counted_by_window(redis_client: RedisClient) -> None:
    bench = Bench(redis_client)
    panel = PhoneStateStore(redis_client, bench.policy)
    pid = bench.codes.pid(PhoneNumber(PHONE))
    for gap in (3000, 600, 130, 0):
        bench.issue()
        bench.advance(gap)
    assert used(panel.phone([pid])) == [1, 3, 4]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_full_number_in_any_format_finds_its_phone(
    api: Api, spelling: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.send()
    operator = signed_in(api)
    reply = operator.submit(TOKENS, phone=spelling)
    assert (reply.status_code, reply.location) == (302, f"{TOKENS}{pid_of()}/")
    page = operator.get(reply.location)
    assert MASKED in page.text
    log = caplog.text
    assert "admin" in log
    for told in (log, page.text, reply.text, str(reply.headers)):
        assert "9123456789" not in told.replace(" ", "").replace("-", "")
        assert spelling not in told


@pytest.mark.parametrize("text", ["", "02188888888", "+4915112345678", "0912ABC6789", "<script>"])
def test_what_is_no_number_of_ours_is_said_on_the_list(api: Api, text: str) -> None:
    api.send(OTHER)
    reply = signed_in(api).submit(TOKENS, phone=text)
    assert reply.status_code == 400
    assert shown(reply.text) == [pid_of(OTHER)]
    assert 'role="alert"' in reply.text
    assert "<script>" not in reply.text


def test_a_phone_that_never_asked_has_a_page_that_says_so(api: Api) -> None:
    operator = signed_in(api)
    page = operator.get(operator.submit(TOKENS, phone=OTHER).location)
    assert page.status_code == 200
    assert "idle" in page.text
    assert "No code was requested for this number" in page.text


@pytest.mark.parametrize("pid", ["x", "a" * 21, "a" * 23, "a" * 21 + "*", "{" + "a" * 20 + "}", "%00" * 22])
def test_what_is_no_phones_id_is_not_found(api: Api, pid: str) -> None:
    operator = signed_in(api)
    assert operator.get(f"{TOKENS}{pid}/").status_code == 404
    for action in ("unlock", "void", "end-sessions", "code", "undo/abcdefghijkl"):
        assert operator.act(action, pid).status_code == 404
    assert operator.act("destroy", pid_of()).status_code == 404


def pages(operator: Operator) -> list[str]:
    paths = [TOKENS, USAGE, f"{TOKENS}{pid_of()}/"]
    paths += [f"{TOKENS}{pid_of()}/{action}/" for action in ("unlock", "clear-sends", "void", "end-sessions")]
    return [operator.get(path).text for path in paths]


def test_no_page_holds_a_full_number_or_a_code(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    api.send(OTHER)
    operator = signed_in(api)
    code = emulator.code_for(PHONE)
    for page in pages(operator):
        assert code not in page
        assert "9123456789" not in page
        assert "9351112233" not in page
        assert "<script" not in page
    assert MASKED in "".join(pages(operator))


def test_a_code_is_shown_on_request_and_each_time_is_logged(
    api: Api, emulator: KavenegarEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    operator = signed_in(api)
    caplog.clear()
    for _ in range(2):
        assert code in operator.act("code", pid_of()).text
    log = caplog.text
    lines = [line for line in log.splitlines() if "code revealed" in line]
    assert len(lines) == 2
    assert all(MASKED in line for line in lines)
    assert code not in log
    assert "9123456789" not in log
    # The view does not use the code, and only the reply to this request shows it.
    assert code not in "".join(pages(operator))
    assert api.verify(PHONE, code).status_code == 200
    assert code not in operator.act("code", pid_of()).text


def test_a_page_that_is_only_asked_for_reveals_nothing(api: Api) -> None:
    api.send()
    operator = signed_in(api)
    assert operator.get(f"{TOKENS}{pid_of()}/code/").status_code == 405


def test_without_leave_no_code_is_shown(redis_client: RedisClient, emulator: KavenegarEmulator) -> None:
    api = make_panel(redis_client, emulator=emulator)
    api.send()
    operator = signed_in(api)
    reply = operator.act("code", pid_of())
    assert reply.status_code == 404
    assert emulator.code_for(PHONE) not in reply.text
    assert f"{TOKENS}{pid_of()}/code/" not in operator.get(f"{TOKENS}{pid_of()}/").text


def test_a_code_of_another_length_than_codes_have_now_is_not_made_up(
    redis_client: RedisClient, emulator: KavenegarEmulator
) -> None:
    make_panel(redis_client, emulator=emulator, OTP_LENGTH=8).send()
    longer = emulator.code_for(PHONE)
    api = make_panel(redis_client, emulator=emulator, ADMIN_REVEAL_CODES=True)
    page = signed_in(api).act("code", pid_of()).text
    assert "active, " in page
    assert 'class="code"' not in page
    assert longer[:6] not in page


def test_states_keep_codes_and_nonces_to_themselves_in_logs(api: Api) -> None:
    api.send()
    state = state_of(api)
    assert state.nonce
    assert state.nonce not in repr(state)


def test_a_used_code_answers_like_no_code_at_all(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_panel(redis_client, sender)
    api.send()
    code = sender.code_for(PHONE)
    assert api.verify(PHONE, code).status_code == 200
    assert api.redis.hgetall(keys_of(PHONE).code) == {b"phone": MASKED.encode(), b"verified": b"1"}
    assert 0 < api.redis.pttl(keys_of(PHONE).code) <= 300_000

    def story(phone: str, ip: str) -> list[tuple[object, ...]]:
        guesses = [code, wrong(code), code, code, wrong(code, 2)]
        replies = [api.verify(phone, guess, ip=ip) for guess in guesses]
        replies.append(api.send(phone, ip=ip))
        return [
            (
                r.status_code,
                r.text.replace(phone, ""),
                sorted(set(r.headers.keys())),
                r.headers.get("Retry-After"),
            )
            for r in replies
        ]

    assert story(PHONE, AWAY) == story(OTHER, "192.0.2.9")
    assert eternal(api.redis) == set()


def test_a_cluster_has_the_whole_panel() -> None:
    with start_cluster(3) as nodes:
        store = connect("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes))
        operator = signed_in(make_panel(store, Recorder(), ADMIN_REVEAL_CODES=True))
        pids = fill(cast("redis.Redis", store), 100)
        assert sorted(pid for page in every_page(list_of(store)) for pid in page) == sorted(pids)
        assert len(shown(operator.get().text)) == PAGE
        pid = next(iter(pids))
        set_failures(store, PhoneKeys(pid), 50, seconds=100)
        for action in ("void", "unlock"):
            reply = operator.act(action, pid)
            assert operator.submit(operator.undo_path(reply)).location.endswith("done=undone")
        assert panel_of(store).phone([pid]).state == "locked"
        for action in ("end-sessions", "clear-sends"):
            assert operator.act(action, pid).status_code == 302
        assert operator.act("code", pid).status_code == 200
        for path in (USAGE, "/admin/traffic/", "/admin/activity/"):
            assert operator.get(path).status_code == 200
        assert operator.submit("/admin/logout/").status_code == 302
