"""Access to the panel: the password, the lock, the session, the forms' token."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis

from otp_gateway.admin.auth import LoginBusy, PanelLogin
from otp_gateway.settings import operators
from otp_gateway.store.admin_sessions import AdminSessions
from otp_gateway.store.client import RedisClient
from tests.admin.support import (
    LOGIN,
    PASSWORD,
    PASSWORD_HASH,
    TOKENS,
    USAGE,
    Operator,
    eternal,
    everything,
    make_panel,
    pid_of,
    signed_in,
    token_in,
)
from tests.api.support import AWAY, make_api, retry_after
from tests.support.redis_server import RedisServer

PID = pid_of()
ACTIONS = ("unlock", "clear-sends", "void", "end-sessions", "forget-devices")
NAMELESS = [operators.Operator("", PASSWORD_HASH)]
UNDO = "abcdefghijkl"
PAGES = [
    "/admin/",
    TOKENS,
    USAGE,
    "/admin/usage/30-days.csv",
    "/admin/traffic/",
    "/admin/activity/",
    "/admin/pauses/prefix/+98912/",
    f"{TOKENS}{PID}/mute/",
    f"{TOKENS}{PID}/",
    *(f"{TOKENS}{PID}/{action}/" for action in ACTIONS),
]
FORMS = [
    "/admin/logout/",
    TOKENS,
    *(f"{TOKENS}{PID}/{action}/" for action in (*ACTIONS, "code")),
    f"{TOKENS}{PID}/undo/{UNDO}/",
    "/admin/pauses/prefix/+98912/",
    "/admin/pauses/prefix/+98912/end/",
    *(f"{TOKENS}{PID}/{action}/" for action in ("mute", "unmute")),
]
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/admin/",
    "/\\evil.example/",
    "/admin//evil.example/",
    "/admin/\\evil.example",
    "/admin/../../evil",
    "/admin/..//evil.example",
    "/admin/\t/evil.example",
    "/admin/\r\nSet-Cookie: a=b",
    "/admin/%2f%2fevil.example",
    "/administrator/",
    "/admin",
    "javascript:alert(1)",
    " /admin/usage/",
    "/admin/ü/",
    "@evil.example/admin/",
]


def every_route() -> list[tuple[str, str]]:
    """Every method and path that a panel has."""
    values = {"reference": PID, "undo": UNDO, "action": "void", "filename": "admin.css"}
    values |= {"kind": "prefix", "target": "+98912"}
    app = make_panel().app
    adapter = app.url_map.bind("localhost")
    return [
        (method, adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments}))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("admin.")
        for method in rule.methods or ()
        if method in ("GET", "POST")
    ]


@pytest.fixture
def operator(redis_client: RedisClient) -> Operator:
    return Operator(make_panel(redis_client))


def keys_like(operator: Operator, pattern: str) -> list[bytes]:
    return list(operator.api.redis.scan_iter(pattern))


def test_without_a_password_hash_there_is_no_panel() -> None:
    operator = Operator(make_api())
    routes = [*every_route(), *(("GET", path) for path in PAGES), *(("POST", path) for path in FORMS)]
    assert ("POST", LOGIN) in routes
    for method, path in [*routes, ("GET", "/admin"), ("GET", "/admin/accounts/")]:
        reply = operator.client.open(path, method=method)
        assert reply.status_code == 404, path
        assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_led_to_the_login_page_and_from_there_on(path: str) -> None:
    operator = Operator(make_panel())
    reply = operator.get(path)
    assert reply.status_code == 302
    assert reply.location.startswith(f"{LOGIN}?next=")
    page = operator.get(reply.location).text
    done = operator.post(LOGIN, csrf=token_in(page), password=PASSWORD, next=path)
    assert (done.status_code, done.location) == (302, path)


@pytest.mark.parametrize("path", FORMS)
def test_a_strangers_form_does_nothing(operator: Operator, path: str) -> None:
    operator.api.send()
    before = everything(operator.api.redis)
    assert operator.submit(path).status_code == 401
    assert everything(operator.api.redis) == before


def test_the_right_password_opens_the_list(operator: Operator) -> None:
    reply = operator.log_in()
    assert (reply.status_code, reply.location) == (302, TOKENS)
    page = operator.get()
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert operator.get("/admin/").location == TOKENS
    assert eternal(operator.api.redis) == set()


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), f"{PASSWORD} ", "its hash", "\0", "رمز"])
def test_a_wrong_password_opens_nothing(operator: Operator, password: str) -> None:
    guess = PASSWORD_HASH if password == "its hash" else password
    assert operator.log_in(guess).status_code == 403
    assert operator.get().status_code == 302
    assert keys_like(operator, "admin:session:*") == []
    assert eternal(operator.api.redis) == set()


def test_the_cookie_is_only_for_the_panel_and_no_script_reads_it() -> None:
    cookie = Operator(make_panel()).log_in().headers["Set-Cookie"]
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "Path=/admin", "SameSite=Strict"} <= parts
    assert cookie.startswith("admin_session=")
    assert not any(part.startswith(("Domain", "Expires", "Max-Age")) for part in parts)
    assert "Secure" not in parts
    assert "Secure" in Operator(make_panel(TRUSTED_PROXIES=1)).log_in().headers["Set-Cookie"]


def test_no_other_page_sets_a_cookie() -> None:
    api = make_panel()
    operator = signed_in(api)
    for path in ("/", "/healthz", "/openapi.json"):
        assert "Set-Cookie" not in operator.get(path).headers
    assert "Set-Cookie" not in api.send().headers


@pytest.mark.parametrize("path", [LOGIN, *FORMS])
@pytest.mark.parametrize("token", [None, "", "x", "foreign", "ü"])
def test_a_form_without_its_sessions_token_does_nothing(path: str, token: str | None) -> None:
    api = make_panel(ADMIN_REVEAL_CODES=True)
    operator = Operator(api) if path == LOGIN else signed_in(api)
    api.send()
    if token == "foreign":
        token = signed_in(api, AWAY).csrf()
        assert token != operator.csrf()
    # The limit of the address counts every login.
    before = everything(api.redis, but="admin.log_in")
    form = {"password": PASSWORD} | ({} if token is None else {"csrf": token})
    assert operator.post(path, **form).status_code == 400
    assert everything(api.redis, but="admin.log_in") == before


def test_a_login_form_without_any_cookie_is_refused() -> None:
    operator = Operator(make_panel())
    token = operator.csrf()
    operator.client.delete_cookie("admin_session", path="/admin")
    assert operator.post(LOGIN, csrf=token, password=PASSWORD).status_code == 400
    assert operator.post(LOGIN, csrf="", password=PASSWORD).status_code == 400


def test_a_login_makes_a_new_token_so_that_a_planted_one_is_worth_nothing(operator: Operator) -> None:
    planted = operator.csrf()
    operator.log_in()
    assert operator.csrf() != planted
    assert operator.post(TOKENS, csrf=planted, phone="09123456789").status_code == 400


def test_the_login_has_a_limit_of_its_own_for_each_address(operator: Operator) -> None:
    token = operator.csrf()
    # Requests without a password, and the right one in between. So it is not the lock that answers.
    for _ in range(10):
        assert operator.post(LOGIN, csrf=token).status_code in (403, 302)
        operator.api.redis.delete(*keys_like(operator, "admin:failures:*"))
    reply = operator.post(LOGIN, csrf=token, password=PASSWORD)
    assert reply.status_code == 429
    assert 0 < retry_after(reply) <= 60
    assert "text/html" in reply.headers["Content-Type"]
    assert signed_in(operator.api, AWAY).get().status_code == 200
    assert operator.api.send().status_code == 200


def test_five_failures_lock_one_network_for_a_while(operator: Operator) -> None:
    assert [operator.log_in("wrong").status_code for _ in range(5)] == [403] * 4 + [429]
    reply = operator.log_in()
    assert reply.status_code == 429
    assert 0 < retry_after(reply) <= 900
    assert operator.get().status_code == 302
    (key,) = keys_like(operator, "admin:failures:*")
    assert 0 < operator.api.redis.pttl(key) <= 900_000
    # Another network is not locked, and the lock ends by itself.
    signed_in(operator.api, AWAY)
    operator.api.redis.pexpire(key, 1)
    time.sleep(0.01)
    assert operator.log_in().status_code == 302


def test_a_success_forgives_the_failures_before_it(operator: Operator) -> None:
    for _ in range(4):
        operator.log_in("wrong")
    assert operator.log_in().status_code == 302
    assert keys_like(operator, "admin:failures:*") == []


class Guess(str):
    """A wrong password that counts how often it was compared."""

    __slots__ = ()
    compared: list[str] = []  # noqa: RUF012  # shared on purpose

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.compared.append(str(self))
        return super().encode(encoding, errors)


def test_of_fifty_guesses_at_once_five_are_compared(redis_client: RedisClient) -> None:
    Guess.compared.clear()
    panel_login = PanelLogin(AdminSessions(redis_client), NAMELESS)

    def guess(number: int) -> bool:
        while True:
            # A worker compares two passwords at a time.
            with suppress(LoginBusy):
                return panel_login.log_in("", Guess(f"wrong {number}"), "net")
            time.sleep(0.01)

    with ThreadPoolExecutor(50) as pool:
        let_in = list(pool.map(guess, range(50)))
    assert not any(let_in)
    assert len(Guess.compared) == 5
    # The right password is also refused until the lock ends.
    assert not panel_login.log_in("", PASSWORD, "net")


def test_a_logout_ends_the_session_for_every_copy_of_its_cookie(operator: Operator) -> None:
    operator.log_in()
    stolen = operator.client.get_cookie("admin_session", path="/admin")
    assert stolen
    assert operator.submit("/admin/logout/").location == LOGIN
    assert operator.get().status_code == 302
    operator.client.set_cookie("admin_session", stolen.value, path="/admin")
    assert operator.get().status_code == 302
    assert keys_like(operator, "admin:session:*") == []


def test_one_logout_leaves_other_sessions(operator: Operator) -> None:
    operator.log_in()
    other = signed_in(operator.api)
    operator.submit("/admin/logout/")
    assert other.get().status_code == 200


def test_an_unused_session_expires_and_a_used_session_is_extended(operator: Operator) -> None:
    operator.log_in()
    (key,) = keys_like(operator, "admin:session:*")
    assert operator.api.redis.ttl(key) in (1799, 1800)
    operator.api.redis.expire(key, 60)
    assert operator.get().status_code == 200
    assert operator.api.redis.ttl(key) in (1799, 1800)
    operator.api.redis.pexpire(key, 1)
    time.sleep(0.01)
    assert operator.get().status_code == 302


@pytest.mark.parametrize(("age", "status"), [(8 * 3600 - 60, 200), (8 * 3600 + 1, 302)])
def test_a_session_ends_after_a_working_day_however_busy(operator: Operator, age: int, status: int) -> None:
    operator.log_in()
    (key,) = keys_like(operator, "admin:session:*")
    opened = int(operator.api.redis.get(key) or 0)
    operator.api.redis.set(key, opened - age, keepttl=True)
    assert operator.get().status_code == status


def test_redis_holds_neither_the_password_nor_what_opens_a_session(operator: Operator) -> None:
    operator.log_in("some wrong password")
    operator.log_in()
    with operator.client.session_transaction(base_url="http://localhost/admin/") as session:
        secrets = [session["id"], session["csrf"]]
    held = everything(operator.api.redis)
    assert all(secrets)
    for secret in (*secrets, PASSWORD, "some wrong password"):
        assert secret not in held


@pytest.mark.parametrize("secret", ["another-secret-key-of-at-least-forty-characters"])
def test_a_cookie_that_was_signed_elsewhere_opens_nothing(secret: str, redis_server: RedisServer) -> None:
    redis_server.clear()
    with redis_server.client() as client:
        store: redis.Redis = client
        foreign = signed_in(make_panel(store, SECRET_KEY=secret))
        cookie = foreign.client.get_cookie("admin_session", path="/admin")
        assert cookie
        operator = Operator(make_panel(store))
        operator.client.set_cookie("admin_session", cookie.value, path="/admin")
        assert operator.get().status_code == 302


@pytest.mark.parametrize("target", ELSEWHERE)
def test_the_login_leads_nowhere_but_into_the_panel(target: str) -> None:
    operator = Operator(make_panel())
    page = operator.get(LOGIN, query_string={"next": target})
    assert page.status_code == 200
    assert f'name="next" value="{TOKENS}"' in page.text
    for password in ("wrong", PASSWORD):
        reply = operator.log_in(password, next=target)
        assert reply.status_code in (302, 403)
        assert reply.headers.get("Location", TOKENS) == TOKENS


def test_a_foreign_next_does_not_survive_the_lock_either() -> None:
    operator = Operator(make_panel())
    for _ in range(11):
        reply = operator.log_in("wrong", next="//evil.example/")
        assert "evil" not in reply.text


def test_a_password_hash_of_another_kind_opens_the_panel_too() -> None:
    slow = "scrypt:16:8:1$c2FsdA$"
    assert make_panel(ADMIN_PASSWORD_HASH=slow + "0" * 128)


def test_a_third_password_at_a_time_is_refused_at_once_and_not_counted(redis_client: RedisClient) -> None:
    comparing, release = threading.Semaphore(0), threading.Event()

    class Slow(str):
        """A password whose comparison waits."""

        __slots__ = ()

        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            comparing.release()
            release.wait(10)
            return super().encode(encoding, errors)

    panel_login = PanelLogin(AdminSessions(redis_client), NAMELESS)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(panel_login.log_in, "", Slow("wrong"), f"net-{n}") for n in range(2)]
        assert all(comparing.acquire(timeout=10) for _ in waiting)
        with pytest.raises(LoginBusy):
            panel_login.log_in("", PASSWORD, "third")
        release.set()
        assert [each.result() for each in waiting] == [False, False]
    assert AdminSessions(redis_client).count_try("third")
    assert redis_client.get("admin:failures:third") == b"1"


def test_a_login_while_others_are_compared_is_429_with_a_second_to_wait(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> bool:
        raise LoginBusy

    monkeypatch.setattr(PanelLogin, "log_in", busy)
    reply = operator.log_in()
    assert reply.status_code == 429
    assert reply.headers["Retry-After"] == "1"
    assert "Try again in a second" in reply.text
