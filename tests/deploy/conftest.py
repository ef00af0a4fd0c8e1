"""A host as deploy/README.md makes it: nginx, two gateways on held sockets, one Redis, one provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.conftest import SECRET_KEY
from tests.support.kavenegar import KavenegarEmulator
from tests.support.nginx import Nginx
from tests.support.programs import require_program
from tests.support.redis_server import RedisServer
from tests.support.servers import free_port
from tests.support.units import Service, install_units


@dataclass(frozen=True)
class Host:
    """A host's parts, and the Redis and the provider that it uses."""

    nginx: Nginx
    gateways: tuple[Service, Service]
    redis: RedisServer
    emulator: KavenegarEmulator

    def served(self, route: str) -> list[int]:
        """How many requests for a route each gateway has answered, by its own log, since `clear`."""
        return [gateway.log().count(f'"route": "{route}"') for gateway in self.gateways]

    def sends(self) -> int:
        """How many sends the provider has received since `clear`; the credit watch calls it, too."""
        return sum(request.action == "sms/send" for request in self.emulator.requests)

    def clear(self) -> None:
        """Delete the data of earlier tests."""
        self.redis.clear()
        self.emulator.clear()
        for gateway in self.gateways:
            gateway.clear()


RunHost = Callable[..., AbstractContextManager[Host]]


@pytest.fixture(scope="session")
def run_host(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, running_emulator: KavenegarEmulator
) -> RunHost:
    """Run a host with these variables in its /etc/otp-gateway.env."""
    require_program("nginx")
    # This is the command of ExecReload; every host with systemd has it.
    require_program("kill")

    @contextmanager
    def run(**variables: str) -> Iterator[Host]:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis_server.url,
            "KAVENEGAR_API_KEY": running_emulator.api_key,
            "KAVENEGAR_BASE_URL": running_emulator.base_url,
            "WEB_CONCURRENCY": "2",
        } | variables
        units = install_units(tmp_path_factory.mktemp("host"), environment)
        with ExitStack() as stack:
            first, second = (stack.enter_context(Service(units, free_port())) for _ in range(2))
            nginx = stack.enter_context(Nginx([first.port, second.port]))
            host = Host(nginx, (first, second), redis_server, running_emulator)
            host.clear()
            yield host

    return run
