"""A cluster that moves the slot of a phone: Redis answers TRYAGAIN until the slot has moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from otp_gateway.errors import StoreUnavailable
from otp_gateway.store import connect
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import Scripts
from tests.api.support import PHONE, Api, Recorder, keys_of, make_api
from tests.support.redis_server import RedisServer, start_cluster


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[RedisServer]]:
    with start_cluster() as nodes:
        yield nodes


@pytest.fixture
def url(nodes: list[RedisServer]) -> str:
    for node in nodes:
        node.clear()
    return f"redis+cluster://127.0.0.1:{nodes[0].port}"


class Migration:
    """The move of one slot to another node, started and not yet finished."""

    def __init__(self, nodes: list[RedisServer], key: str) -> None:
        clients: list[Any] = [node.client() for node in nodes]
        self._slot = clients[0].execute_command("CLUSTER KEYSLOT", key)
        self._ids = [client.execute_command("CLUSTER MYID").decode() for client in clients]
        owner = self._slot * len(nodes) // 16_384
        self._ports = [node.port for node in nodes]
        self._from, self._to = owner, (owner + 1) % len(nodes)
        self._clients = clients
        self._set_slot(self._to, "IMPORTING", self._from)
        self._set_slot(self._from, "MIGRATING", self._to)

    def move(self, key: str) -> None:
        """Move one key of the slot."""
        port = self._ports[self._to]
        moved = self._clients[self._from].execute_command("MIGRATE", "127.0.0.1", port, key, 0, 5000)
        assert moved == b"OK"

    def finish(self) -> None:
        """Move all keys of the slot, and the slot itself."""
        for key in self._clients[self._from].execute_command("CLUSTER GETKEYSINSLOT", self._slot, 100):
            self.move(key)
        for node in (self._to, self._from):
            self._set_slot(node, "NODE", self._to)

    def give_back(self) -> None:
        """Restore the cluster for the next test."""
        for key in self._clients[self._to].execute_command("CLUSTER GETKEYSINSLOT", self._slot, 100):
            self._clients[self._to].delete(key)
        for node in (self._from, self._to):
            self._set_slot(node, "NODE", self._from)
        for client in self._clients:
            client.close()

    def _set_slot(self, node: int, state: str, other: int) -> None:
        self._clients[node].execute_command("CLUSTER SETSLOT", self._slot, state, self._ids[other])


@pytest.fixture
def migrate(nodes: list[RedisServer]) -> Iterator[Callable[[str], Migration]]:
    begun: list[Migration] = []

    def migrate(key: str) -> Migration:
        begun.append(Migration(nodes, key))
        return begun[-1]

    yield migrate
    for migration in begun:
        migration.give_back()


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when an attempt of a script has failed."""
    event, original = threading.Event(), Scripts._failed

    def note(scripts: Scripts, error: Exception) -> str:
        event.set()
        return original(scripts, error)

    monkeypatch.setattr(Scripts, "_failed", note)
    return event


def during(migration: Migration, failed: threading.Event, call: Callable[[], Any]) -> Any:
    """Make the call, and finish the migration after its first attempt has failed."""
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(call)
        assert failed.wait(10)
        migration.finish()
        return reply.result()


def test_a_send_waits_for_the_slot_of_its_phone(
    url: str, migrate: Callable[[str], Migration], failed: threading.Event
) -> None:
    sender = Recorder()
    api: Api = make_api(connect(url), sender, REDIS_URL=url)
    keys = keys_of(PHONE)
    # The phone has no key yet: the old node asks the client to go to the new one, which answers TRYAGAIN.
    sent = during(migrate(keys.code), failed, api.send)
    assert (sent.status_code, len(sender.sent)) == (200, 1)


def test_a_verify_waits_if_some_keys_of_the_phone_have_moved(
    url: str, migrate: Callable[[str], Migration], failed: threading.Event
) -> None:
    sender = Recorder()
    api: Api = make_api(connect(url), sender, REDIS_URL=url)
    keys = keys_of(PHONE)
    assert api.send().status_code == 200
    migration = migrate(keys.code)
    migration.move(keys.code)
    opened = during(migration, failed, lambda: api.verify(PHONE, sender.code_for(PHONE)))
    assert opened.status_code == 200


def test_a_migration_that_does_not_end_is_an_unavailable_store(
    url: str, migrate: Callable[[str], Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    original = Scripts._failed

    def note(scripts: Scripts, error: Exception) -> str:
        reasons.append(original(scripts, error))
        return reasons[-1]

    monkeypatch.setattr(Scripts, "_failed", note)
    keys = PhoneKeys("probe-of-a-migration")
    migrate(keys.code)
    names = [keys.code, keys.sends, keys.sessions, keys.call("")]
    with pytest.raises(StoreUnavailable) as raised:
        Scripts(connect(url)).run("probe", names, [1000], 0.9)
    assert raised.value.reason == "cluster"
    assert set(reasons) == {"cluster"}
