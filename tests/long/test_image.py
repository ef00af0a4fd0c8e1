"""The image of the Dockerfile: its steps in an empty environment, and the behaviour of its container."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from tests.conftest import SECRET_KEY
from tests.support.image import Container
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

BUILD_SECONDS = 400.0
PORT = free_port()
URL = f"http://127.0.0.1:{PORT}"
OTP, VERIFY = f"{URL}/api/v1/usr/otp", f"{URL}/api/v1/usr/otp/verify"


@pytest.fixture(scope="module")
def container(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[Container]:
    redis_server.clear()
    variables = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": running_emulator.api_key,
        "KAVENEGAR_BASE_URL": running_emulator.base_url,
        "PORT": str(PORT),
        "WEB_CONCURRENCY": "2",
    }
    with Container(**variables) as started:
        wait_until(started.is_built, "the image", BUILD_SECONDS)
        wait_until(answers, "the gateway in the container", 60)
        yield started


def answers() -> bool:
    try:
        return requests.get(f"{URL}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.usefixtures("container")
def test_a_container_sends_and_verifies(emulator: KavenegarEmulator) -> None:
    assert requests.post(OTP, json={"phone_number": "09123456789"}, timeout=15).status_code == 200
    body = {"phone_number": "09123456789", "code": emulator.code_for("+989123456789")}
    assert requests.post(VERIFY, json=body, timeout=15).status_code == 200


def test_the_gateway_is_process_one_and_is_not_root(container: Container) -> None:
    found = container.run("python", "-c", "print(open('/proc/1/cmdline').read().split(chr(0)))")
    assert "gunicorn" in found.stdout, found.stderr
    status = container.run("sh", "-c", "grep -h '^Uid:' /proc/1/status; id -u; id -un").stdout.split()
    assert status == ["Uid:", *["10001"] * 4, "10001", "otp-gateway"]


def test_the_container_can_write_only_to_its_tmpfs(container: Container) -> None:
    for place in ("/", "/opt/otp-gateway", "/var/tmp", "/etc", "/usr/local", "/run"):  # noqa: S108  # its own
        assert container.run("touch", f"{place}/x").returncode == 1
    assert container.run("touch", "/tmp/x").returncode == 0  # noqa: S108  # as above
    # Without a place for the workers' metrics, the gateway would warn.
    log = container.stream("stdout").read_text(encoding="utf-8")
    assert '"level": "warning"' not in log, log
    metrics = requests.get(f"{URL}/metrics", timeout=15).text
    assert "otp_gateway_metrics_shared 1.0" in metrics


def test_the_health_check_fails_if_the_process_does_not_answer(container: Container) -> None:
    healthy = container.run(*container.image.health)
    assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "", "")
    assert container.run(*container.image.health, PORT=str(free_port())).returncode == 1


def test_the_image_has_the_commands_and_no_tools_of_the_build(container: Container) -> None:
    checked = container.run("python", "-m", "otp_gateway", "check", "--json")
    found = {check["name"]: check["status"] for check in json.loads(checked.stdout)["checks"]}
    assert found["redis"] == found["secret_key"] == "ok"
    content = container.run("find", ".", "-maxdepth", "2").stdout.split()
    assert {"./otp_gateway", "./venv", "./LICENSE"} <= set(content)
    assert [
        name for name in content if name.startswith(("./tests", "./.env", "./docs", "./requirements"))
    ] == []
    assert container.run("python", "-c", "import pip").returncode == 1
    # A process that cannot write would compile each module at each start.
    compiled = container.run("find", "otp_gateway", "-name", "service.*.pyc").stdout
    assert "service.cpython" in compiled


def test_a_container_stops_within_its_time_and_logs_to_standard_output(container: Container) -> None:
    assert container.stop(30) == 0
    log = container.stream("stdout").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line)["event"] for line in log if line.startswith("{")]
    assert events[0].startswith("Starting gunicorn")
    assert "Shutting down: Master" in events
    assert container.stream("stderr").read_text(encoding="utf-8").endswith("the image is built\n")
