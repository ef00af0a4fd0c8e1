"""The actions of an operator on one phone: confirmed first, logged, undone if possible, no side effects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from otp_gateway.codes import Codes
from otp_gateway.store.client import RedisClient
from otp_gateway.store.connect import connect
from otp_gateway.store.scripts import sources
from tests.admin.support import (
    MASKED,
    PASSWORD,
    TOKENS,
    Operator,
    eternal,
    everything,
    make_panel,
    pid_of,
    signed_in,
)
from tests.api.support import (
    AWAY,
    HOME,
    OTHER,
    PHONE,
    SEND,
    VERIFY,
    Api,
    Recorder,
    failures_of,
    keys_of,
    set_failures,
    wrong,
)
from tests.conftest import SECRET_KEY
from tests.support.kavenegar import KavenegarEmulator
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer

PID = pid_of()
REFRESH = "/api/v1/usr/token/refresh"
ACTIONS = ("unlock", "clear-sends", "void", "end-sessions", "forget-devices")


@pytest.fixture
def operator(api: Api) -> Operator:
    return signed_in(api)


def held(api: Api, e164: str) -> str:
    """All data of one phone in Redis."""
    store = api.redis
    ours = pid_of(e164)
    return "\n".join(part for part in everything(store).splitlines() if ours in part)


def exhaust(api: Api, code: str, ip: str = HOME) -> None:
    for by in (1, 2, 3):
        api.verify(PHONE, wrong(code, by), ip=ip)
    assert api.verify(PHONE, code, ip=ip).status_code == 429


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_asks_first_and_asking_does_nothing(api: Api, operator: Operator, action: str) -> None:
    api.send()
    before = everything(api.redis)
    page = operator.get(f"{TOKENS}{PID}/{action}/")
    assert page.status_code == 200
    assert '<form method="post"' in page.text
    assert MASKED in page.text
    assert everything(api.redis) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_logged_with_the_masked_phone_and_who_did_it(
    api: Api, operator: Operator, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.send()
    caplog.clear()
    assert operator.act(action, PID).status_code == 302
    log = caplog.text
    (line,) = [line for line in log.splitlines() if f"'action': '{action}'" in line]
    assert MASKED in line
    assert f"'client': '{Codes(SECRET_KEY, 6).client(HOME)}'" in line
    assert "9123456789" not in log


def test_logins_and_refusals_are_logged_without_the_password(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Operator(api)
    operator.log_in("a wrong password")
    operator.log_in()
    log = caplog.text
    assert log.count("'action': 'sign-in refused'") == 1
    assert log.count("'action': 'signed in'") == 1
    assert PASSWORD not in log
    assert "a wrong password" not in log


def test_a_voided_code_is_worth_nothing_until_that_is_undone(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    before = api.redis.hgetall(keys_of(PHONE).code)
    left = api.redis.pttl(keys_of(PHONE).code)
    reply = operator.act("void", PID)
    assert api.verify(PHONE, code).get_json()["code"] == "invalid_code"
    assert "done=void" in reply.location
    done = operator.submit(operator.undo_path(reply))
    assert done.location.endswith("done=undone")
    assert api.redis.hgetall(keys_of(PHONE).code) == before
    assert left - 3000 < api.redis.pttl(keys_of(PHONE).code) <= left
    assert api.verify(PHONE, code).status_code == 200
    assert eternal(api.redis) == set()


def test_after_a_void_the_next_send_makes_a_new_code(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    first = emulator.code_for(PHONE)
    reply = operator.act("void", PID)
    api.send()
    second = emulator.code_for(PHONE)
    # If there are newer data, the old data are not put back.
    assert operator.submit(operator.undo_path(reply)).location.endswith("done=too-late")
    assert second == first or api.verify(PHONE, first).status_code == 400
    assert api.verify(PHONE, second).status_code == 200


def test_an_undo_after_a_login_does_not_bring_the_old_code_back(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    first = emulator.code_for(PHONE)
    undo = operator.undo_path(operator.act("void", PID))
    api.send()
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200
    assert operator.submit(undo).location.endswith("done=too-late")
    assert api.verify(PHONE, first).status_code == 400


def test_unlock_clears_the_tries_and_every_budget_of_the_phone_and_of_no_other(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    for phone in (PHONE, OTHER):
        api.send(phone)
        for ip in (HOME, AWAY):
            api.verify(phone, wrong(emulator.code_for(phone)), ip=ip)
    code = emulator.code_for(PHONE)
    api.verify(PHONE, wrong(code, 2))
    other = held(api, OTHER)
    tries = keys_of(PHONE).tries
    clients = [Codes(SECRET_KEY, 6).client(ip) for ip in (HOME, AWAY)]
    assert [failures_of(api.redis, keys_of(PHONE), client)[0] for client in (None, *clients)] == [3, 2, 1]
    assert api.verify(PHONE, code).status_code == 429
    assert operator.act("unlock", PID).status_code == 302
    assert not api.redis.exists(tries)
    assert held(api, OTHER) == other
    assert api.verify(PHONE, wrong(code)).get_json()["attempts_remaining"] == 2
    assert api.verify(PHONE, code).status_code == 200
    assert eternal(api.redis) == set()


@pytest.mark.parametrize("spent", ["client", "phone"])
def test_unlock_frees_a_phone_or_client_whose_budget_is_used_up(
    api: Api, operator: Operator, spent: str
) -> None:
    api.send()
    keys = keys_of(PHONE)
    client, count = {"phone": (None, 50), "client": (Codes(SECRET_KEY, 6).client(HOME), 10)}[spent]
    set_failures(api.redis, keys, count, seconds=80_000, client=client)
    before = api.redis.hgetall(keys.tries)
    assert api.send().status_code == 429
    reply = operator.act("unlock", PID)
    assert api.send().status_code == 200
    assert operator.submit(operator.undo_path(reply)).location.endswith("done=undone")
    assert api.redis.hgetall(keys.tries) == before
    assert 79_990 <= failures_of(api.redis, keys, client)[1] <= 80_000
    assert 79_990 <= api.redis.ttl(keys.tries) <= 80_000
    assert api.send().status_code == 429


def test_an_undone_unlock_stands_as_before(api: Api, operator: Operator, emulator: KavenegarEmulator) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    exhaust(api, code)
    keys = keys_of(PHONE)
    before, left = api.redis.hgetall(keys.tries), api.redis.pttl(keys.tries)
    reply = operator.act("unlock", PID)
    assert operator.submit(operator.undo_path(reply)).location.endswith("done=undone")
    assert api.redis.hgetall(keys.tries) == before
    assert left - 3000 < api.redis.pttl(keys.tries) <= left
    assert failures_of(api.redis, keys)[0] == 3
    assert api.verify(PHONE, code).status_code == 429
    assert eternal(api.redis) == set()


def test_an_undone_unlock_does_not_touch_what_has_been_counted_since(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    exhaust(api, code)
    undo = operator.undo_path(operator.act("unlock", PID))
    api.verify(PHONE, wrong(code), ip=AWAY)
    operator.submit(undo)
    keys = keys_of(PHONE)
    assert api.redis.hget(keys.tries, "tries") == b"1"
    assert failures_of(api.redis, keys)[0] == 1
    assert api.verify(PHONE, code, ip=AWAY).status_code == 200


def test_unlock_leaves_the_answers_that_a_repeated_verify_gets_again(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    api.verify(PHONE, wrong(emulator.code_for(PHONE)))
    answers = list(api.redis.scan_iter(f"otp:{{{PID}}}:call:*"))
    assert len(answers) == 1
    operator.act("unlock", PID)
    assert list(api.redis.scan_iter(f"otp:{{{PID}}}:call:*")) == answers
    assert 0 < api.redis.pttl(answers[0]) <= 10_000


def test_an_undo_works_once_and_only_for_its_own_phone(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    api.send(OTHER)
    undo = operator.undo_path(operator.act("void", PID))
    elsewhere = undo.replace(PID, pid_of(OTHER))
    assert operator.submit(elsewhere).location.endswith("done=too-late")
    assert operator.submit(undo).location.endswith("done=undone")
    assert operator.submit(undo).location.endswith("done=too-late")
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 200


def records(api: Api) -> list[bytes]:
    """The records of operators' actions that can be undone."""
    return list(api.redis.scan_iter("otp:*:undo:*"))


@pytest.mark.parametrize("action", ["unlock", "void"])
def test_an_undo_ends_after_five_minutes(
    api: Api, operator: Operator, emulator: KavenegarEmulator, action: str
) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    exhaust(api, code)
    undo = operator.undo_path(operator.act(action, PID))
    # One key for everything that was removed, also for budgets that would count for a day.
    (record,) = records(api)
    assert 295 <= api.redis.ttl(record) <= 300
    api.pass_time(300)
    assert records(api) == []
    assert operator.submit(undo).location.endswith("done=too-late")
    assert api.verify(PHONE, code).get_json()["code"] == "invalid_code"


def test_an_undo_is_kept_no_longer_than_what_it_would_put_back(api: Api, operator: Operator) -> None:
    api.send()
    api.verify(PHONE, "000000")
    for name, action in ((keys_of(PHONE).code, "void"), (keys_of(PHONE).tries, "unlock")):
        api.redis.expire(name, 60)
        operator.act(action, PID)
        (record,) = records(api)
        assert 55 <= api.redis.ttl(record) <= 60
        api.redis.delete(record)


def test_a_code_that_has_expired_meanwhile_does_not_come_back(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    api.send()
    api.redis.expire(keys_of(PHONE).code, 10)
    undo = operator.undo_path(operator.act("void", PID))
    api.pass_time(11)
    assert operator.submit(undo).location.endswith("done=too-late")
    assert api.verify(PHONE, emulator.code_for(PHONE)).status_code == 400


@pytest.mark.parametrize("undo", ["x", "abcdefghijkl", "abcdefghijkl:0", "*", "a" * 500])
def test_an_unknown_undo_does_nothing(api: Api, operator: Operator, undo: str) -> None:
    api.send()
    operator.act("void", PID)
    before = everything(api.redis)
    assert operator.submit(f"{TOKENS}{PID}/undo/{undo}/").location.endswith("done=too-late")
    assert everything(api.redis) == before


@pytest.mark.parametrize("action", ["unlock", "void"])
def test_where_there_is_nothing_to_remove_no_undo_is_offered(operator: Operator, action: str) -> None:
    reply = operator.act(action, PID)
    assert reply.status_code == 302
    assert "undo" not in reply.location
    assert "/undo/" not in operator.get(reply.location).text


def test_ending_the_sessions_signs_every_device_of_this_phone_out_and_of_no_other(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    tokens = []
    for phone in (PHONE, PHONE, OTHER):
        api.send(phone)
        tokens.append(api.verify(phone, emulator.code_for(phone)).get_json()["refresh_token"])
    reply = operator.act("end-sessions", PID)
    assert "undo" not in reply.location
    statuses = [api.post(REFRESH, {"refresh_token": token}).status_code for token in tokens]
    assert statuses == [401, 401, 200]
    page = operator.get(f"{TOKENS}{PID}/").text
    assert re.search(r"Valid sessions</dt><dd>0<", page)
    # And the phone may sign in again.
    api.send()
    token = api.verify(PHONE, emulator.code_for(PHONE)).get_json()["refresh_token"]
    assert api.post(REFRESH, {"refresh_token": token}).status_code == 200


def device_token(api: Api, emulator: KavenegarEmulator, phone: str = PHONE) -> dict[str, str]:
    """The member of a body that makes the client a device of the phone."""
    api.send(phone)
    return {"device_token": api.verify(phone, emulator.code_for(phone)).get_json()["device_token"]}


def in_device_lane(api: Api, device: dict[str, str], phone: str = PHONE) -> bool:
    """Whether a send with this token is in the device lane."""
    before = api.redis.llen(keys_of(phone).of_devices.sends)
    assert api.post(SEND, {"phone_number": phone} | device).status_code == 200
    return bool(api.redis.llen(keys_of(phone).of_devices.sends) > before)


def test_forgotten_devices_of_this_phone_are_strangers_and_no_others(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    ours, theirs = device_token(api, emulator), device_token(api, emulator, OTHER)
    assert in_device_lane(api, ours)
    reply = operator.act("forget-devices", PID)
    page = operator.get(reply.location).text
    assert "its devices are forgotten" in page
    assert "/undo/" not in page
    assert not in_device_lane(api, ours)
    assert in_device_lane(api, theirs, OTHER)
    assert in_device_lane(api, device_token(api, emulator))


@pytest.mark.parametrize("ticked", [True, False])
@pytest.mark.parametrize("session", [True, False])
def test_ending_the_sessions_offers_to_forget_the_devices(
    api: Api, operator: Operator, emulator: KavenegarEmulator, *, ticked: bool, session: bool
) -> None:
    device = device_token(api, emulator)
    if not session:
        api.redis.delete(keys_of(PHONE).sessions)
    assert 'name="forget_devices"' in operator.get(f"{TOKENS}{PID}/end-sessions/").text
    reply = operator.act("end-sessions", PID, **({"forget_devices": "yes"} if ticked else {}))
    assert in_device_lane(api, device) is not ticked
    said = "nothing-end-sessions" if not ticked else "forget-devices"
    assert f"done={'end-sessions' if session else said}" in reply.location


def test_the_page_of_a_phone_shows_its_device_lane_if_it_holds_data(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    device = device_token(api, emulator)
    title, signed_in_with = "Devices that have signed in before", "The user has signed in with the last code."
    page = operator.get(f"{TOKENS}{PID}/").text
    assert title not in page
    assert signed_in_with in page
    assert in_device_lane(api, device)
    page = operator.get(f"{TOKENS}{PID}/").text
    # The last code is now that of the device.
    assert re.search(
        r"A device that has signed in before has an active code for 4 min 5\d s, with 3 tries", page
    )
    assert signed_in_with not in page
    guess = {"phone_number": PHONE, "code": wrong(emulator.code_for(PHONE))} | device
    assert api.post(VERIFY, guess).status_code == 400
    page = operator.get(f"{TOKENS}{PID}/").text
    lane = page[page.index(title) : page.index("Help</h2>")]
    for text in ("1 of 3", "1 of 10", "1 of 5", "active"):
        assert text in lane
    api.redis.hset(keys_of(PHONE).of_devices.tries, "failures", f"10:{9 * 10**12}")
    assert "limits of devices that have signed in before are used up" in operator.get(f"{TOKENS}{PID}/").text


def test_no_key_of_the_panel_lives_for_ever_or_tells_a_secret(
    api: Api, operator: Operator, emulator: KavenegarEmulator
) -> None:
    codes = set()
    for _ in range(2):
        api.send()
        codes.add(emulator.code_for(PHONE))
        exhaust(api, emulator.code_for(PHONE), AWAY)
        operator.get()
        operator.act("code", PID)
        operator.get(f"{TOKENS}{PID}/")
        operator.act("unlock", PID)
        operator.act("void", PID)
        operator.act("end-sessions", PID)
        assert eternal(api.redis) == set()
    text = everything(api.redis)
    assert "admin:session:" in text
    assert "provider:account" in text
    for secret in (*codes, "9123456789", PASSWORD, emulator.api_key, HOME, AWAY):
        assert secret not in re.sub(r"(?<!\d)1\d{12}(?!\d)", "", text)


@pytest.fixture
def lossy(redis_server: RedisServer) -> Iterator[tuple[RedisProxy, Operator]]:
    """An operator whose panel reaches a real Redis through a proxy.

    The API connects to that Redis directly.
    """
    redis_server.clear()
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as direct:
        sender = Recorder()
        operator = signed_in(make_panel(connect(proxy.url), sender, ADMIN_REVEAL_CODES=True))
        operator.api.send()
        exhaust(operator.api, sender.code_for(PHONE))
        operator.api.redis = direct
        yield proxy, operator


def sha(script: str) -> bytes:
    return hashlib.sha1(sources()[script].encode(), usedforsecurity=False).hexdigest().encode()


@pytest.mark.parametrize("action", ["unlock", "void", "login", "usage"])
def test_no_key_stands_without_an_end_when_the_line_breaks_before_it_gets_one(
    lossy: tuple[RedisProxy, Operator], action: str
) -> None:
    proxy, operator = lossy
    store = operator.api.redis
    token = operator.csrf()
    forms = {"login": ("/admin/login/", {"password": "wrong"}), "usage": ("/admin/logout/", {})}
    path, form = forms.get(action, (f"{TOKENS}{PID}/{action}/", {}))
    before = held(operator.api, PHONE)
    # The panel's actions are scripts, so that there is no EXPIRE to lose.
    proxy.drop_requests(1000, b"EXPIRE" if action in forms else sha("set_aside"))
    assert operator.post(path, csrf=token, **form).status_code == 503
    assert proxy.dropped
    assert eternal(store) == set()
    assert held(operator.api, PHONE) == before


@pytest.mark.parametrize("action", ["unlock", "void"])
def test_lost_replies_lose_neither_the_action_nor_its_undo(
    lossy: tuple[RedisProxy, Operator], action: str
) -> None:
    proxy, operator = lossy
    store = operator.api.redis
    name = keys_of(PHONE).tries if action == "unlock" else keys_of(PHONE).code
    before, left = store.hgetall(name), store.pttl(name)
    proxy.drop_replies(2, sha("set_aside"))
    reply = operator.act(action, PID)
    assert proxy.dropped == 2
    assert not store.exists(name)
    assert len(records(operator.api)) == 1
    assert operator.submit(operator.undo_path(reply)).location.endswith("done=undone")
    assert store.hgetall(name) == before
    assert left - 5000 < store.pttl(name) <= left
    assert records(operator.api) == []
    assert eternal(store) == set()


def test_the_panel_says_so_when_redis_is_unavailable_and_works_again_when_it_is_back() -> None:
    with RedisServer() as server:
        operator = signed_in(make_panel(connect(server.url), Recorder()))
        token = operator.csrf()
        server.pause()
        for reply in (
            operator.get(),
            operator.get("/admin/usage/"),
            operator.get(f"{TOKENS}{PID}/"),
            operator.post("/admin/login/", csrf=token, password=PASSWORD),
            operator.post(f"{TOKENS}{PID}/void/", csrf=token),
        ):
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) > 0
            assert "text/html" in reply.headers["Content-Type"]
        assert operator.get("/admin/login/").status_code == 200
        server.resume()
        assert operator.get().status_code == 200


def test_the_embedded_panel_is_no_other(redis_client: RedisClient) -> None:
    """Both stores give the same list after the same requests."""
    sender = Recorder()
    api = make_panel(redis_client, sender)
    api.send()
    api.verify(PHONE, wrong(sender.code_for(PHONE)))
    row = re.search(r"<tbody>.*</tbody>", signed_in(api).get().text, re.DOTALL)
    assert row
    words = " ".join(re.sub(r"<[^>]+>", " ", row[0]).split())
    for text in (MASKED, "active", "1 of 3", "1 of 40"):
        assert text in words
