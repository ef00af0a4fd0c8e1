"""An operator at the panel, over Flask's client."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import redis
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from otp_gateway.store.client import RedisClient
from tests.api.support import HOME, PHONE, Api, Recorder, keys_of, make_api
from tests.support import recording
from tests.support.kavenegar import KavenegarEmulator

PASSWORD = "a password for tests"
# One round of the hash, because the tests log in often.
PASSWORD_HASH = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1")
TOKENS = "/admin/accounts/otptoken/"
LOGIN = "/admin/login/"
USAGE = "/admin/usage/"
ROOMY = "1000/minute"
MASKED = "+98912***6789"


def make_panel(
    store: RedisClient | None = None,
    sender: Recorder | None = None,
    emulator: KavenegarEmulator | None = None,
    **variables: object,
) -> Api:
    """The gateway with its panel on, and limits that no test reaches by accident."""
    given: dict[str, object] = {
        "ADMIN_PASSWORD_HASH": PASSWORD_HASH,
        "OTP_PHONE_LIMITS": ROOMY,
    }
    return make_api(store, sender, emulator, **given | variables)


class Operator:
    """A browser at the panel; ``ip`` is its address."""

    def __init__(self, api: Api, ip: str = HOME) -> None:
        self.api = api
        self.client = api.app.test_client()
        self.ip = ip

    def get(self, path: str = TOKENS, **options: Any) -> TestResponse:
        return self.client.get(path, environ_overrides={"REMOTE_ADDR": self.ip}, **options)

    def post(self, path: str, **form: str) -> TestResponse:
        """POST a form unchanged; without a ``csrf`` it has none."""
        return self.client.post(path, data=form, environ_overrides={"REMOTE_ADDR": self.ip})

    def submit(self, path: str, **form: str) -> TestResponse:
        """A form with the session's token."""
        return self.post(path, csrf=self.csrf(), **form)

    def csrf(self) -> str:
        """The token in the forms of the session."""
        return token_in(self.get(LOGIN).text)

    def log_in(self, password: str = PASSWORD, **form: str) -> TestResponse:
        return self.submit(LOGIN, password=password, **form)

    def act(self, action: str, pid: str, **form: str) -> TestResponse:
        return self.submit(f"{TOKENS}{pid}/{action}/", **form)

    def undo_path(self, reply: TestResponse) -> str:
        """The path of the undo action on the page that this reply leads to."""
        found = re.search(r'action="([^"]+/undo/[^"]+)"', self.get(reply.location).text)
        assert found, "the page offers no undo"
        return found[1]


def signed_in(api: Api, ip: str = HOME) -> Operator:
    operator = Operator(api, ip)
    assert operator.log_in().status_code == 302
    return operator


def token_in(page: str) -> str:
    """The CSRF token of a page's first form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def pid_of(e164: str = PHONE) -> str:
    """The keyed hash under which the panel shows a phone."""
    return keys_of(e164).pid


def shown(page: str) -> list[str]:
    """The phones that a list links to, from top to bottom."""
    return re.findall(rf'href="{TOKENS}([A-Za-z0-9_-]{{22}})/"', page)


def eternal(store: redis.Redis) -> set[bytes]:
    """Keys that have no TTL."""
    return {key for key in store.scan_iter() if store.pttl(key) == -1}


def everything(store: redis.Redis, but: str = "\0") -> str:
    """Every key and value as text, with all recorded data, except keys that have ``but`` in their names."""
    recording.write()
    read: dict[Any, Callable[[Any], list[Any]]] = {
        b"string": lambda key: [store.get(key)],
        b"hash": lambda key: [part for pair in store.hgetall(key).items() for part in pair],
        b"list": lambda key: list(store.lrange(key, 0, -1)),
        b"zset": lambda key: list(store.zrange(key, 0, -1)),
    }
    names = sorted(name for name in store.scan_iter() if but.encode() not in name)
    parts: list[bytes] = []
    for name in names:
        parts += [name, *read[store.type(name)](name)]
    return "\n".join(part.decode("latin-1") for part in parts)
