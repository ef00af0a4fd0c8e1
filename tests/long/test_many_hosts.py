"""Three gateways on three addresses over a Redis Cluster of six nodes: exact limits, also while it changes.

Slots move to another master under load, then a master is killed and its replica takes over.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.conftest import SECRET_KEY
from tests.long.figures import show
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.load import Load as Threads
from tests.support.programs import require_program
from tests.support.redis_server import RedisServer, start_cluster, start_sentinel, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

OTP, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
NAME = "otp"
# The windows are longer than the test, so each limit is one number for the whole test.
PER_ADDRESS, PER_PHONE = 20, 3
ADDRESSES = [f"10.20.0.{n}" for n in range(1, 61)]
PHONES = [f"+98912{n:07d}" for n in range(120)]
THREADS = 8
PAUSE = 0.06
SLOTS = 800


class Cluster:
    """The hosts, and a record of each answer."""

    def __init__(self, gateways: list[Gateway], emulator: KavenegarEmulator) -> None:
        self.gateways = gateways
        self.emulator = emulator
        self.answers: dict[str, Counter[int]] = defaultdict(Counter)
        # A time for each answer 503, and each other answer.
        self.unavailable: list[float] = []
        self.others: Counter[str] = Counter()
        self._addresses = itertools.count()
        self._lock = threading.Lock()

    def call(self, path: str, body: object, *, key: str, address: str = "", host: int | None = None) -> int:
        """Make one request to a host; return the status, which also counts for ``key``."""
        if not address:
            # An address of its own: no limit but the phone's applies.
            number = next(self._addresses)
            address = f"10.{30 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"
        gateway = random.choice(self.gateways) if host is None else self.gateways[host]
        connection = http.client.HTTPConnection(gateway.address, gateway.port, timeout=30)
        headers = {"Content-Type": "application/json", "X-Forwarded-For": address, "Connection": "close"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            reply: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        with self._lock:
            self.answers[key][response.status] += 1
            self.others[f"{path.rpartition('/')[2]} {response.status} {reply.get('code', '')}".strip()] += 1
            if response.status == 503:
                self.unavailable.append(time.monotonic())
        return response.status

    def guess_nothing(self, address: str) -> int:
        """A request that counts only for its address."""
        return self.call(VERIFY, {}, key=address, address=address)

    def send(self, phone: str) -> int:
        """A send that counts for its phone."""
        return self.call(OTP, {"phone_number": phone}, key=phone)

    def login(self, phone: str) -> list[int]:
        """One send, then the right code at all hosts at once; the statuses of these verifies."""
        if self.send(phone) != 200:
            return []
        body = {"phone_number": phone, "code": self.emulator.code_for(phone)}
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            calls = [pool.submit(self.call, VERIFY, body, key="logins", host=n) for n in range(len(HOSTS))]
            return [call.result() for call in calls]


class Load(Threads):
    """Requests of all kinds in a random order, paced, until the ``with`` block ends and all are made."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__([*[self._run] * THREADS, self._log_in])
        self.logins: list[list[int]] = []
        self.recovered = 0.0
        self._cluster = cluster
        jobs: list[Callable[[], object]] = [
            *(partial(cluster.guess_nothing, address) for address in ADDRESSES * (PER_ADDRESS + 4)),
            *(partial(cluster.send, phone) for phone in PHONES * (PER_PHONE + 2)),
        ]
        random.shuffle(jobs)
        self._jobs = iter(jobs)
        self._numbers = itertools.count()

    def _run(self) -> None:
        while True:
            with self._lock:
                job = next(self._jobs, None)
            if job is None:
                return
            job()
            self._over.wait(PAUSE)

    def _log_in(self) -> None:
        while not self._over.wait(PAUSE):
            self.logins.append(self._cluster.login(f"+98913{next(self._numbers):07d}"))


def environment(redis_url: str, emulator: KavenegarEmulator) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
        "OTP_IP_LIMITS": f"{PER_ADDRESS}/hour",
        "OTP_PHONE_LIMITS": f"{PER_PHONE}/hour",
        "TRUSTED_PROXIES": "1",
    }


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[RedisServer]]:
    with start_cluster(3, replicas=True) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def cluster(nodes: list[RedisServer], running_emulator: KavenegarEmulator) -> Iterator[Cluster]:
    running_emulator.clear()
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    with ExitStack() as stack:
        yield Cluster(
            [
                stack.enter_context(Gateway(environment(url, running_emulator), address=host))
                for host in HOSTS
            ],
            running_emulator,
        )


def reshard(source: RedisServer, target: RedisServer) -> None:
    """Move slots with their keys to another master, as an operator does."""
    names = []
    for node in (source, target):
        with node.client() as client:
            names.append(client.execute_command("CLUSTER MYID").decode())
    command = [require_program("redis-cli"), "--cluster", "reshard", f"127.0.0.1:{source.port}"]
    command += ["--cluster-from", names[0], "--cluster-to", names[1], "--cluster-slots", str(SLOTS)]
    done = subprocess.run(
        [*command, "--cluster-yes"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def is_master(node: RedisServer) -> bool:
    with node.client() as client:
        return bool(client.info("replication")["role"] == "master")


def seconds_without(cluster: Cluster, began: float) -> float:
    """Seconds from a moment until the last answer 503 after it."""
    return max((at for at in cluster.unavailable if at >= began), default=began) - began


@pytest.fixture(scope="module")
def load(cluster: Cluster, nodes: list[RedisServer]) -> Load:
    """The load, a reshard and the end of a master; all requests have been made."""
    moved = moving = killed = 0.0
    with Load(cluster) as load:
        time.sleep(2)
        moving = time.monotonic()
        before = len(cluster.unavailable)
        reshard(nodes[0], nodes[1])
        moved = time.monotonic()
        while_moving = len(cluster.unavailable) - before
        time.sleep(2)
        killed = time.monotonic()
        nodes[2].kill()
        wait_until(lambda: is_master(nodes[5]), "the replica of the killed master")
        load.recovered = time.monotonic() - killed
        time.sleep(3)
    show(
        f"{len(HOSTS)} hosts, Redis Cluster of six nodes",
        {
            "answers": cluster.others,
            "other": {
                f"seconds in which {SLOTS} slots moved": round(moved - moving, 1),
                "answers 503 meanwhile": while_moving,
                "seconds until the replica was master": round(load.recovered, 1),
                "seconds until the last answer 503": round(seconds_without(cluster, killed), 1),
                "answers 503 after the kill": len([at for at in cluster.unavailable if at >= killed]),
            },
        },
    )
    return load


def until_refused(call: Callable[[], int]) -> None:
    """Repeat a request until its limit refuses it."""
    for _ in range(40):
        if call() == 429:
            return
    raise AssertionError("no limit")


@pytest.mark.usefixtures("load")
def test_the_limit_of_an_address_is_exact_and_counts_no_request_twice(
    cluster: Cluster,
) -> None:
    for address in ADDRESSES:
        until_refused(partial(cluster.guess_nothing, address))
        found = cluster.answers[address]
        assert found.keys() <= {400, 429, 503}
        # A 503 may have been counted if each of its replies was lost; without a 503, the number is exact.
        assert PER_ADDRESS - found[503] <= found[400] <= PER_ADDRESS
    exact = [address for address in ADDRESSES if not cluster.answers[address][503]]
    assert len(exact) > len(ADDRESSES) / 4


@pytest.mark.usefixtures("load")
def test_the_limit_of_a_phone_is_exact_and_each_send_is_one_message(cluster: Cluster) -> None:
    for phone in PHONES:
        until_refused(partial(cluster.send, phone))
        found = cluster.answers[phone]
        assert found.keys() <= {200, 429, 503}
        assert PER_PHONE - found[503] <= found[200] <= PER_PHONE
        assert len(cluster.emulator.messages_to(phone)) == found[200]
    exact = [phone for phone in PHONES if not cluster.answers[phone][503]]
    assert len(exact) > len(PHONES) / 4


def test_a_code_that_is_posted_to_all_hosts_at_once_gives_one_login(cluster: Cluster, load: Load) -> None:
    complete = [statuses for statuses in load.logins if statuses and 503 not in statuses]
    assert len(complete) > 20
    assert {tuple(sorted(statuses)) for statuses in complete} == {(200, 400, 400)}
    assert all(statuses.count(200) <= 1 for statuses in load.logins)
    # The hosts still work after the changes.
    assert sorted(cluster.login("+989149999999")) == [200, 400, 400]


def test_a_change_of_the_cluster_is_a_pause_and_no_other_error(cluster: Cluster, load: Load) -> None:
    assert load.recovered > 0
    errors = {name for name in cluster.others if name.split()[1] not in ("200", "400", "429")}
    assert errors <= {"otp 503 store_unavailable", "verify 503 store_unavailable"}
    for gateway in cluster.gateways:
        assert "Traceback" not in gateway.log()


def test_behind_sentinel_a_failover_is_a_pause_over_all_hosts(running_emulator: KavenegarEmulator) -> None:
    running_emulator.clear()
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer("--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(RedisServer("--replicaof", "127.0.0.1", str(primary.port)))
        port = stack.enter_context(start_sentinel(primary.port, NAME))
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
        env = environment(f"redis+sentinel://127.0.0.1:{port}/{NAME}", running_emulator)
        gateways = [stack.enter_context(Gateway(env, address=host)) for host in HOSTS[:2]]
        hosts = Cluster(gateways, running_emulator)
        address = ADDRESSES[0]
        assert [hosts.guess_nothing(address) for _ in range(10)] == [400] * 10
        wait_until(lambda: client.info("replication")["slave_repl_offset"] > 0, "the replica")
        time.sleep(0.5)

        killed = time.monotonic()
        primary.kill()
        wait_until(lambda: hosts.guess_nothing(ADDRESSES[1]) == 400, "the failover", 40)

        show("Sentinel", {"other": {"seconds until the first answer": round(time.monotonic() - killed, 1)}})
        until_refused(lambda: hosts.guess_nothing(address))
        found = hosts.answers[address]
        assert PER_ADDRESS - found[503] <= found[400] <= PER_ADDRESS
