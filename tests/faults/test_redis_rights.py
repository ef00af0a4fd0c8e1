"""The rights that docs/OPERATIONS.md gives the gateway's Redis user are enough, and it has no others."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from otp_gateway.checks.redis import RIGHTS
from otp_gateway.store import connect, keys
from tests.admin.support import PASSWORD_HASH, USAGE, Operator, make_panel, pid_of, signed_in
from tests.api.support import AWAY, PHONE, wrong
from tests.checks.support import checked, provider
from tests.conftest import SECRET_KEY
from tests.support import recording
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.kavenegar_faults import code as result_code
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel, wait_until

OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
USER, PASSWORD = "otp-gateway", "PASSWORD"
KEY = {"Idempotency-Key": "a-key-for-the-test-of-rights"}
# First the user of the servers with the data, then the user of the sentinels.
DOCUMENTED, OF_SENTINELS = (
    rights.split()
    for rights in re.findall(rf"^ACL SETUSER {USER} on >{PASSWORD} (.+)$", OPERATIONS, re.MULTILINE)
)


def allow(client: Any, rights: list[str]) -> None:
    client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rights)
    client.execute_command("ACL", "LOG", "RESET")


def refused(client: Any) -> list[str]:
    """The commands and keys that Redis has refused to the user."""
    return [entry["object"] for entry in client.execute_command("ACL LOG") if entry["username"] == USER]


def user_of(url: str) -> str:
    return url.replace("://", f"://{USER}:{PASSWORD}@")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def use(server: RedisServer, emulator: KavenegarEmulator) -> Callable[[], None]:
    """Do everything that clients, users, operators and monitoring do."""
    return lambda: everything(server.url, emulator)


def everything(url: str, emulator: KavenegarEmulator) -> None:
    url = user_of(url)
    report = checked(REDIS_URL=url, **provider(emulator))
    # Without --url, the check does not see the proxies.
    of_redis = [line for line in report.findings if "--url" not in line[2]]
    assert [line for line in of_redis if "permission" in line[2] or "not checked" in line[2]] == []
    api = make_panel(connect(url), emulator=emulator, METRICS_TOKEN="m" * 20, REDIS_URL=url)
    assert api.get("/readyz").status_code == 200

    assert api.send(headers=KEY).status_code == 200
    emulator.fault = result_code(418)
    assert api.send("+989351112233").status_code == 502
    emulator.fault = None
    code = emulator.code_for(PHONE)
    assert api.verify(PHONE, wrong(code)).status_code == 400
    tokens = api.verify(PHONE, code).get_json()
    refreshed = api.post("/api/v1/usr/token/refresh", {"refresh_token": tokens["refresh_token"]}).get_json()
    ended = api.post("/api/v1/usr/token/revoke", {"refresh_token": refreshed["refresh_token"]})
    assert ended.status_code == 204

    assert Operator(api, AWAY).log_in("a wrong password").status_code == 403
    operator = signed_in(api)
    assert api.send().status_code == 200
    assert api.verify(PHONE, wrong(emulator.code_for(PHONE))).status_code == 400
    for path in ("/admin/accounts/otptoken/", f"/admin/accounts/otptoken/{pid_of()}/", USAGE):
        assert operator.get(path).status_code == 200
    for action in ("unlock", "void", "end-sessions"):
        assert operator.act(action, pid_of()).status_code == 302
    reply = operator.act("unlock", pid_of())
    assert reply.status_code == 302
    recording.write()
    assert (
        "otp_gateway_redis_up 1.0"
        in api.get("/metrics", headers={"Authorization": f"Bearer {'m' * 20}"}).text
    )
    assert operator.submit("/admin/logout/").status_code == 302


def test_operations_names_the_rights_that_the_check_names() -> None:
    assert tuple(DOCUMENTED) == RIGHTS


def test_everything_works_with_exactly_these_rights(server: RedisServer, use: Callable[[], None]) -> None:
    with server.client() as client:
        client.flushall()
        allow(client, DOCUMENTED)
        use()
        assert refused(client) == []


@pytest.mark.parametrize(
    "right", [right for right in RIGHTS if right not in ("-@dangerous", "+cluster|slots")]
)
def test_each_of_these_rights_is_needed(server: RedisServer, use: Callable[[], None], right: str) -> None:
    with server.client() as client:
        client.flushall()
        allow(client, [other for other in DOCUMENTED if other != right])
        with contextlib.suppress(Exception):
            use()
        assert refused(client)


def test_these_rights_allow_no_command_that_destroys_or_reveals_more(server: RedisServer) -> None:
    with server.client() as admin:
        allow(admin, DOCUMENTED)
    with server.client(username=USER, password=PASSWORD) as client:
        for command in ("FLUSHALL", "CONFIG GET *", "KEYS *", "SHUTDOWN", "ACL LIST", "GET other", "MONITOR"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


def test_a_gateway_with_workers_works_with_these_rights(
    server: RedisServer, emulator: KavenegarEmulator
) -> None:
    variables = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": user_of(server.url),
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "ADMIN_PASSWORD_HASH": PASSWORD_HASH,
    }
    with server.client() as client:
        client.flushall()
        allow(client, DOCUMENTED)
        with Gateway(variables) as gateway:
            gateway.post("/api/v1/usr/otp", {"phone_number": PHONE}).raise_for_status()
            body = {"phone_number": PHONE, "code": emulator.code_for(PHONE)}
            gateway.post("/api/v1/usr/otp/verify", body).raise_for_status()
            gateway.get("/readyz").raise_for_status()
            # The workers have read the credit and written the usage.
            wait_until(lambda: bool(list(client.scan_iter("{usage}:*"))), "the usage")
            wait_until(lambda: bool(client.exists(keys.PROVIDER_ACCOUNT)), "the credit")
        assert refused(client) == []


def test_a_cluster_needs_no_other_rights(emulator: KavenegarEmulator) -> None:
    with start_cluster() as nodes:
        clients = [node.client() for node in nodes]
        for client in clients:
            allow(client, DOCUMENTED)
        everything(f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}", emulator)
        assert [refused(client) for client in clients] == [[], [], []]
        for client in clients:
            allow(client, [right for right in DOCUMENTED if right != "+cluster|slots"])
        report = checked(REDIS_URL=user_of(f"redis+cluster://127.0.0.1:{nodes[0].port}"))
        assert "CLUSTER SLOTS" in report["redis"][1]


def test_a_sentinels_user_needs_the_right_that_operations_names(emulator: KavenegarEmulator) -> None:
    with (
        RedisServer() as master,
        start_sentinel(master.port, "main") as port,
        master.client() as client,
        redis.Redis(port=port) as sentinel,
    ):
        allow(client, DOCUMENTED)
        allow(sentinel, OF_SENTINELS)
        query = f"sentinel_username={USER}&sentinel_password={PASSWORD}"
        everything(f"redis+sentinel://127.0.0.1:{port}/main?{query}", emulator)
        assert (refused(client), refused(sentinel)) == ([], [])


def test_the_prefixes_of_the_rights_are_those_of_all_keys() -> None:
    source = (ROOT / "otp_gateway" / "store" / "keys.py").read_text(encoding="utf-8")
    names = re.findall(r'(?:= |return |name = )f?"((?:\{\{)?[a-z]+(?:\}\})?:[^"]*)"', source)
    assert len(names) > 10
    for name in names:
        # Only a part of a name.
        if name == keys.DEVICE_LANE:
            continue
        assert name.replace("{{", "{").replace("}}", "}").startswith(keys.PREFIXES), name
