"""What the phone's page tells beyond the phone: networks that are locked out, and the number after a void."""

from __future__ import annotations

import re

import pytest

from otp_gateway.codes import Codes
from otp_gateway.store import phone_state
from otp_gateway.store.connect import connect
from otp_gateway.store.operator_actions import OperatorActions
from otp_gateway.store.phone_state import PhoneStateStore
from tests.admin.support import MASKED, TOKENS, Operator, make_panel, pid_of, signed_in
from tests.api.support import AWAY, HOME, OTHER, PHONE, Api, Recorder, keys_of, wrong
from tests.conftest import SECRET_KEY, make_settings
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, start_cluster

PID = pid_of()
PAGE = f"{TOKENS}{PID}/"


@pytest.fixture
def operator(api: Api) -> Operator:
    return signed_in(api)


def store_over(url: str) -> PhoneStateStore:
    return PhoneStateStore(connect(url), Codes(SECRET_KEY, 6), make_settings().policy)


def locked(page: str) -> str:
    found = re.search(r"Networks locked out</dt><dd>([^<]+)", page)
    assert found, page
    return found[1].strip()


def test_the_phones_page_counts_the_networks_that_have_spent_their_budget(
    api: Api, operator: Operator
) -> None:
    assert locked(operator.get(PAGE).text) == "0"
    api.send()
    code_of = Codes(SECRET_KEY, 6).client
    for network, count in ((HOME, 10), (AWAY, 11), ("192.0.2.3", 9)):
        api.redis.set(keys_of(PHONE).failures_of(code_of(network)), count, ex=1000)
    api.redis.set(keys_of(OTHER).failures_of(code_of(HOME)), 10, ex=1000)
    page = operator.get(PAGE).text
    assert locked(page) == "2"
    assert "each after 10 failures of its own" in page
    # The same where the page comes as an answer.
    assert locked(operator.act("delivery", PID).text) == "2"
    operator.act("unlock", PID)
    assert locked(operator.get(PAGE).text) == "0"
    assert locked(operator.get(f"{TOKENS}{pid_of(OTHER)}/").text) == "1"


def test_a_network_that_guesses_its_budget_away_is_counted() -> None:
    sender = Recorder()
    api = make_panel(None, sender, OTP_MAX_ATTEMPTS=100, OTP_MAX_FAILURES_PER_CLIENT=3)
    operator = signed_in(api)
    api.send()
    for by in range(1, 4):
        assert locked(operator.get(PAGE).text) == "0"
        api.verify(PHONE, wrong(sender.code_for(PHONE), by))
    assert locked(operator.get(PAGE).text) == "1"


def test_only_the_phones_page_looks_through_all_keys(redis_server: RedisServer) -> None:
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as direct:
        direct.flushall()
        operator = signed_in(make_panel(connect(proxy.url), Recorder()))
        operator.api.send()
        operator.get()
        operator.get("/admin/usage/")
        operator.get(f"{PAGE}void/")
        assert proxy.seen(b":failures:*") == 0
        operator.get(PAGE)
        assert proxy.seen(b":failures:*") == 1


def test_where_keys_are_too_many_for_the_time_the_page_says_so(
    api: Api, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.send()
    monkeypatch.setattr(phone_state, "LOOK_SECONDS", -1.0)
    page = operator.get(PAGE)
    assert page.status_code == 200
    assert locked(page.text) == "not counted"
    # An unlock looks through all of them, however long that takes.
    name = keys_of(PHONE).failures_of("client")
    api.redis.set(name, 10, ex=1000)
    operator.act("unlock", PID)
    assert not api.redis.exists(name)


def test_keys_by_the_thousand_hide_no_network(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.flushall()
        pipeline = client.pipeline(transaction=False)
        for number in range(30_000):
            pipeline.set(f"otp:{{{number}}}:failures:x", 10, ex=100)
        for number in range(7):
            pipeline.set(keys_of(PHONE).failures_of(str(number)), 10, ex=100)
        pipeline.execute()
        assert store_over(redis_server.url).locked_clients(PID) == 7
        client.flushall()


def test_a_cluster_is_looked_through_on_every_node() -> None:
    with start_cluster() as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        panel, client = store_over(url), connect(url)
        pids = [pid_of(f"+98912345678{digit}") for digit in range(10)]
        for pid in pids:
            client.set(f"otp:{{{pid}}}:failures:x", 10, ex=100)
        assert [panel.locked_clients(pid) for pid in pids] == [1] * 10
        assert all(OperatorActions(client).unlock(pid) for pid in pids)
        assert [panel.locked_clients(pid) for pid in pids] == [0] * 10


def test_the_page_after_a_void_still_shows_the_number(api: Api, operator: Operator) -> None:
    api.send()
    reply = operator.act("void", PID)
    assert MASKED in operator.get(reply.location).text
    # Without the action's own id it is as unknown as any other.
    assert MASKED not in operator.get(PAGE).text


@pytest.mark.parametrize("undo", ["abcdefghijkl", "x", "*", "a" * 500])
def test_an_id_that_nobody_was_given_shows_no_number(api: Api, operator: Operator, undo: str) -> None:
    api.send()
    operator.act("void", PID)
    page = operator.get(f"{PAGE}?done=void&undo={undo}")
    assert page.status_code == 200
    assert MASKED not in page.text


def test_an_id_of_another_phone_shows_no_number(api: Api, operator: Operator) -> None:
    api.send()
    location = operator.act("void", PID).location
    page = operator.get(location.replace(PID, pid_of(OTHER)))
    assert page.status_code == 200
    assert MASKED not in page.text


def test_an_id_that_names_what_was_set_aside_is_none(api: Api, operator: Operator) -> None:
    api.send()
    api.redis.set(keys_of(PHONE).failures, 3, ex=1000)
    found = re.search(r"undo=([A-Za-z0-9_-]{12})", operator.act("unlock", PID).location)
    assert found
    api.redis.delete(keys_of(PHONE).code)
    # This key holds a count, which is no record of an undo.
    assert operator.get(f"{PAGE}?done=unlock&undo={found[1]}:0").status_code == 200
