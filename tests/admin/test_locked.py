"""The phone's page also shows the networks that are locked out, and the number after a void."""

from __future__ import annotations

import pytest

from otp_gateway.codes import Codes
from otp_gateway.store.connect import connect
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.operator_actions import OperatorActions
from otp_gateway.store.phone_state import PhoneStateStore
from otp_gateway.store.scripts import Scripts
from tests.admin.support import MASKED, TOKENS, Operator, make_panel, pid_of, signed_in
from tests.api.support import AWAY, HOME, OTHER, PHONE, Api, Recorder, keys_of, set_failures, wrong
from tests.conftest import SECRET_KEY, make_settings
from tests.support.proxy import RedisProxy
from tests.support.redis_server import RedisServer, start_cluster

PID = pid_of()
PAGE = f"{TOKENS}{PID}/"


@pytest.fixture
def operator(api: Api) -> Operator:
    return signed_in(api)


def store_over(url: str) -> PhoneStateStore:
    return PhoneStateStore(connect(url), make_settings().policy)


def locked(page: str) -> str:
    return str(page.count("(locked out)"))


def test_the_phones_page_counts_the_networks_that_have_used_up_their_budget(
    api: Api, operator: Operator
) -> None:
    assert locked(operator.get(PAGE).text) == "0"
    api.send()
    code_of = Codes(SECRET_KEY, 6).client
    for network, count in ((HOME, 10), (AWAY, 11), ("192.0.2.3", 9)):
        set_failures(api.redis, keys_of(PHONE), count, client=code_of(network))
    set_failures(api.redis, keys_of(OTHER), 10, client=code_of(HOME))
    page = operator.get(PAGE).text
    assert locked(page) == "2"
    assert "Locked for up to 16 min 39 s from 2 networks" in page
    # The page is the same if it is the answer to a form.
    assert locked(operator.act("code", PID).text) == "2"
    operator.act("unlock", PID)
    assert locked(operator.get(PAGE).text) == "0"
    assert locked(operator.get(f"{TOKENS}{pid_of(OTHER)}/").text) == "1"


def test_a_network_that_uses_its_budget_up_by_guessing_is_counted() -> None:
    sender = Recorder()
    api = make_panel(None, sender, OTP_MAX_ATTEMPTS=100, OTP_MAX_FAILURES_PER_CLIENT=3)
    operator = signed_in(api)
    api.send()
    for by in range(1, 4):
        assert locked(operator.get(PAGE).text) == "0"
        api.verify(PHONE, wrong(sender.code_for(PHONE), by))
    assert locked(operator.get(PAGE).text) == "1"


def test_no_page_looks_through_all_keys(redis_server: RedisServer) -> None:
    redis_server.clear()
    with RedisProxy(redis_server.port) as proxy, redis_server.client() as direct:
        operator = signed_in(make_panel(connect(proxy.url), Recorder()))
        operator.api.send()
        set_failures(direct, keys_of(PHONE), 10, client="network")
        operator.get("/admin/usage/")
        operator.get(f"{PAGE}unlock/")
        assert locked(operator.get(PAGE).text) == "1"
        undo = operator.act("unlock", PID)
        assert operator.submit(operator.undo_path(undo)).location.endswith("done=undone")
        operator.act("end-sessions", PID)
        operator.get()
        operator.get(TOKENS, query_string={"q": "6789", "state": "locked"})
        assert proxy.seen(b"SCAN") == 0


def test_a_budget_that_has_expired_locks_no_network(api: Api, operator: Operator) -> None:
    api.send()
    for number, seconds in enumerate((100, 1000, 1000)):
        set_failures(api.redis, keys_of(PHONE), 10, seconds=seconds, client=f"network {number}")
    assert locked(operator.get(PAGE).text) == "3"
    api.pass_time(101)
    # Its field is removed only by the next wrong guess.
    assert api.redis.hexists(keys_of(PHONE).tries, "failures:network 0")
    assert locked(operator.get(PAGE).text) == "2"


def test_a_cluster_counts_networks_on_every_node() -> None:
    with start_cluster() as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        panel, client = store_over(url), connect(url)
        actions = OperatorActions(client, Scripts(client), make_settings().policy)
        pids = [pid_of(f"+98912345678{digit}") for digit in range(10)]
        for pid in pids:
            set_failures(client, PhoneKeys(pid), 10, client="x")
        assert [len(panel.phone([pid]).locked_clients) for pid in pids] == [1] * 10
        undo = {pid: actions.unlock(pid) for pid in pids}
        assert all(undo.values())
        assert [len(panel.phone([pid]).locked_clients) for pid in pids] == [0] * 10
        assert all(actions.undo(pid, undo_id) for pid, undo_id in undo.items() if undo_id)
        assert [len(panel.phone([pid]).locked_clients) for pid in pids] == [1] * 10


def test_the_page_after_a_void_still_shows_the_number(api: Api, operator: Operator) -> None:
    api.send()
    reply = operator.act("void", PID)
    assert MASKED in operator.get(reply.location).text


@pytest.mark.parametrize("undo", ["x", "*", "a" * 500, "../../"])
def test_an_id_that_is_none_is_no_undo(api: Api, operator: Operator, undo: str) -> None:
    api.send()
    page = operator.get(PAGE, query_string={"done": "void", "undo": undo})
    assert page.status_code == 200
    assert "/undo/" not in page.text
