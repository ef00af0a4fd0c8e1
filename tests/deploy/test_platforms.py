"""The files for platforms: the command that each of them starts, with the variables of its platform."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from packaging.specifiers import SpecifierSet

from otp_gateway.settings import Settings
from otp_gateway.settings.declaration import declared
from otp_gateway.settings.variables import Variables
from tests.conftest import SECRET_KEY
from tests.deploy.load import OTP
from tests.deploy.test_procfile import Foreman
from tests.deploy.test_units import gunicorn_settings
from tests.support.gateway import ROOT
from tests.support.image import Stage, stages
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import require_program
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
APP = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
LIARA = json.loads((ROOT / "liara.json").read_text(encoding="utf-8"))
DEPLOY = (ROOT / "docs" / "DEPLOY.md").read_text(encoding="utf-8")
KUBERNETES = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", DEPLOY, re.MULTILINE | re.DOTALL)[0])
POD = KUBERNETES["spec"]["template"]["spec"]
VARIABLES = {variable.name for variable in declared(Variables).values()}
Start = Callable[..., str]
# The only folder that a container can write to.
TMP = "/tmp"  # noqa: S108  # a path in the container


def image() -> Stage:
    """The image that the Dockerfile makes."""
    return stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1]


def interpolated(text: str, environ: dict[str, str]) -> str:
    """A value of compose.yaml, with the forms of substitution that it uses."""

    def value(match: re.Match[str]) -> str:
        name, form, rest = match.groups()
        if environ.get(name):
            return environ[name]
        if form == ":?":
            raise KeyError(f"{name}: {rest}")
        return rest

    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", value, text)


@pytest.fixture
def start(tmp_path: Path, redis_server: RedisServer, emulator: KavenegarEmulator) -> Iterator[Start]:
    """Run the command of the image in its folder, with these variables; the URL of the gateway."""
    redis_server.clear()
    (tmp_path / "otp_gateway").symlink_to(ROOT / "otp_gateway")
    running: list[subprocess.Popen[bytes]] = []

    def run(**variables: str) -> str:
        port = free_port()
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis_server.url,
            "KAVENEGAR_API_KEY": emulator.api_key,
            "KAVENEGAR_BASE_URL": emulator.base_url,
            "WEB_CONCURRENCY": "1",
            **variables,
            "PORT": str(port),
        }
        with (tmp_path / "log").open("wb") as log:
            command = image().command
            running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
        wait_until(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200, "the gateway")
        return f"http://127.0.0.1:{port}"

    yield run
    for process in running:
        process.terminate()
    assert [process.wait(40) for process in running] == [0] * len(running)


def status(url: str, **headers: str) -> int:
    try:
        return requests.get(url, headers=headers, timeout=10).status_code
    except requests.ConnectionError:
        return 0


def sends(url: str) -> None:
    """The gateway sends a code, and reads the client's address one hop from the right."""
    assert requests.post(url + OTP, json={"phone_number": "09123456789"}, timeout=15).status_code == 200
    for client in ("203.0.113.1", "203.0.113.2"):
        headers = {"X-Forwarded-For": f"198.51.100.1, {client}"}
        replies = [requests.post(url + OTP, json={}, headers=headers, timeout=15) for _ in range(6)]
        assert [reply.status_code for reply in replies] == [400] * 5 + [429]


def test_every_place_names_the_same_python() -> None:
    version = (ROOT / ".python-version").read_text(encoding="ascii").strip()
    assert re.fullmatch(r"3\.\d+", version)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"python:([\d.]+)-slim", dockerfile + DEPLOY) == [version] * 3
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (required,) = re.findall(r'^requires-python = "(.*)"', project, re.MULTILINE)
    assert f"{version}.0" in SpecifierSet(required)


def test_the_app_json_gives_an_app_all_that_it_needs(tmp_path: Path) -> None:
    variables = {"REDIS_URL": "rediss://:p@ec2.example.com:9000"}
    for name, about in APP["env"].items():
        assert name in VARIABLES
        generated = {"secret": "0123456789abcdef" * 4}.get(about.get("generator", ""), "given-by-a-person")
        variables[name] = about.get("value", generated)
    settings = Settings.load(variables, dotenv=None)
    assert settings.warnings() == [
        "REDIS_TLS_VERIFY=none: connections are encrypted, but Redis is not identified"
    ]
    assert list(APP["formation"]) == re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert [plan.partition(":")[0] for plan in APP["addons"]] == ["heroku-redis"]
    # A router stops waiting after 30 s.
    assert int(gunicorn_settings(tmp_path)["graceful_timeout"]) < 30


def test_the_health_checks_of_app_json_are_answered_by_the_process_of_the_procfile(
    tmp_path: Path, redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    # As Dokku sets them, with the variables of the Python buildpack.
    environment = {
        "DYNO": "web.1",
        "FORWARDED_ALLOW_IPS": "*",
        "GUNICORN_CMD_ARGS": "--access-logfile -",
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    }
    foreman = Foreman(tmp_path, environment)
    try:
        wait_until(foreman.answers, "the gateway under honcho")
        for check in APP["healthchecks"]["web"]:
            assert status(foreman.url + check["path"]) == 200
    finally:
        foreman.stop()


def test_compose_starts_a_redis_that_keeps_its_data_and_evicts_nothing() -> None:
    service = COMPOSE["redis"]
    program, *options = shlex.split(service["command"])
    assert program == "redis-server"
    with RedisServer(*options) as server, server.client() as client:
        for name, value in (("appendonly", "yes"), ("maxmemory-policy", "noeviction"), ("save", "")):
            assert client.config_get(name) == {name: value}
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0
        kind, *check = service["healthcheck"]["test"]
        assert kind == "CMD"
        command = [require_program(check[0]), "-p", str(server.port), *check[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert (done.returncode, done.stdout.strip()) == (0, "PONG")
    assert service["volumes"] == ["redis:/data"]


def test_compose_starts_the_gateway_with_the_variables_of_the_shell(start: Start, tmp_path: Path) -> None:
    service = COMPOSE["gateway"]
    with pytest.raises(KeyError, match="32 random characters"):
        interpolated(service["environment"]["SECRET_KEY"], {})
    shell = {"SECRET_KEY": SECRET_KEY, "KAVENEGAR_API_KEY": "key"}
    environment = {name: interpolated(text, shell) for name, text in service["environment"].items()}
    assert Settings.load(environment, dotenv=None).warnings() == []
    # The names of services are known only inside compose's network.
    assert environment["REDIS_URL"] == "redis://redis:6379/0"
    sends(start(**{name: environment[name] for name in ("SECRET_KEY", "TRUSTED_PROXIES")}))
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > int(gunicorn_settings(tmp_path)["graceful_timeout"])
    assert service["read_only"] is True
    assert service["tmpfs"] == [TMP]


def test_the_health_check_of_liara_is_answered(start: Start) -> None:
    assert LIARA.keys() <= {"app", "platform", "port", "build", "healthCheck", "disks", "args", "cron"}
    assert LIARA["platform"] == "docker"
    url = start(TRUSTED_PROXIES="1")
    sends(url)
    check = LIARA["healthCheck"]
    assert check.keys() <= {"command", "interval", "timeout", "retries", "startPeriod"}
    # The port is the gateway's own default.
    assert LIARA["port"] == Settings.load({}, dotenv=None).port

    def run(port: str) -> int:
        command = [word.replace(f":{LIARA['port']}/", f":{port}/") for word in check["command"]]
        env = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
        return subprocess.run(command, env=env, check=False, capture_output=True, timeout=20).returncode

    assert run(url.rpartition(":")[2]) == 0
    assert run(str(free_port())) == 1


def test_the_kubernetes_manifest_starts_a_gateway_and_its_probes_are_answered(
    start: Start, tmp_path: Path
) -> None:
    (container,) = POD["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    (secrets,) = re.findall(r"envFrom:\n +# (.*)", DEPLOY)
    assert {*variables, *secrets.split(", ")} <= VARIABLES
    url = start(**variables, METRICS_TOKEN="a-token-of-the-scraper")
    sends(url)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = container[probe]["httpGet"]
        assert status(url + request["path"]) == 200
        assert request["port"] == container["ports"][0]["containerPort"] == LIARA["port"]
    assert status(f"{url}/metrics") == 401
    assert status(f"{url}/metrics", Authorization="Bearer a-token-of-the-scraper") == 200
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    stop = int(gunicorn_settings(tmp_path)["graceful_timeout"])
    assert POD["terminationGracePeriodSeconds"] > pause + stop


def test_the_kubernetes_manifest_runs_the_user_of_the_image_with_a_read_only_root() -> None:
    (container,) = POD["containers"]
    security: dict[str, Any] = POD["securityContext"] | container["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == image().user
    assert security["readOnlyRootFilesystem"] is security["runAsNonRoot"] is True
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [TMP]
