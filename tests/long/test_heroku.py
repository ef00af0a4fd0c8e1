"""README's lines deploy an app on Heroku, and the app follows the rules of Heroku's router."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.long.conftest import block
from tests.long.figures import show
from tests.long.heroku import BASH, PASSWORD, RUNTIME, Dyno
from tests.long.router import ADDRESS
from tests.long.visitors import ME, OTP, VERIFY, Load, Platform
from tests.support import kavenegar_faults as provider
from tests.support.redis_server import RedisServer, wait_until
from tests.support.servers import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

IDLE = 200


def restart(platform: Platform, old: Dyno, number: int) -> Dyno:
    """As ``heroku ps:restart``: SIGTERM to the old dyno, and at the same time the start of a new one."""
    old.terminate()
    new = platform.boot(number)
    old.wait()
    platform.router.remove(old.port)
    new.wait_until_up()
    return new


def log_in(platform: Platform, address: str, number: str) -> None:
    """One login from an address: the number without its first 0 gets a code, and its user a token."""
    with platform.visit(address) as one:
        status, body = one.call("POST", OTP, {"phone_number": f"0{number}"})
        assert (status, body["message"]) == (200, "OTP sent successfully")
        code = platform.emulator.code_for(f"+98{number}")
        status, tokens = one.call("POST", VERIFY, {"phone_number": f"0{number}", "code": code})
        assert status == 200
        status, user = one.call("GET", ME, Authorization=f"Bearer {tokens['access_token']}")
        assert (status, user["phone_number"]) == (200, f"+98{number}")


@pytest.mark.usefixtures("reused")
def test_the_readmes_lines_deploy_an_app_that_serves(platform: Platform, web: Dyno) -> None:
    assert platform.app.config.keys() == {
        *("KAVENEGAR_BASE_URL", "REDIS_URL", "SECRET_KEY", "KAVENEGAR_API_KEY", "REDIS_TLS_VERIFY"),
    }
    log_in(platform, "127.0.3.1", "9123456789")
    # WEB_CONCURRENCY is 02.
    wait_until(lambda: web.log().count("Booting worker") == 2, "two workers")


@pytest.mark.usefixtures("web")
def test_each_client_has_its_own_limit_and_cannot_choose_its_address(
    platform: Platform,
) -> None:
    def statuses(address: str, **headers: str) -> list[int]:
        with platform.visit(address) as one:
            return [one.call("POST", VERIFY, {}, **headers)[0] for _ in range(6)]

    assert statuses("127.0.3.2") == [400] * 5 + [429]
    forged = {"X-Forwarded-For": "198.51.100.7"}
    assert statuses("127.0.3.3", **forged) == [400] * 5 + [429]
    assert statuses("127.0.3.4", **forged) == [400] * 5 + [429]
    with platform.visit("127.0.3.5") as one:
        # FORWARDED_ALLOW_IPS=* makes gunicorn trust the headers of each peer.
        assert one.call("GET", "/metrics")[0] == 403
        assert one.call("GET", "/healthz", SCRIPT_NAME="/x")[0] == 200


@pytest.mark.usefixtures("web")
def test_the_check_of_the_readme_finds_no_fault_from_a_one_off_dyno(platform: Platform) -> None:
    (line,) = [line for line in block("git push heroku").splitlines() if line.startswith("heroku run")]
    line = line.replace("https://YOUR-APP.herokuapp.com", f"https://localhost:{platform.router.port} --json")

    done = platform.app.shell(line, REQUESTS_CA_BUNDLE=str(platform.certificate))

    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        check["name"]: (check["status"], check["message"]) for check in json.loads(done.stdout)["checks"]
    }
    assert found["proxies"][0] == found["https"][0] == found["host"][0] == "ok"
    # Its only warning is about the certificate, which README says is not checked.
    assert {name for name, (status, _) in found.items() if status == "warning"} == {"redis_tls"}


def test_no_log_line_shows_an_address_although_the_platform_asks_for_an_access_log(
    platform: Platform, web: Dyno
) -> None:
    log_in(platform, "127.0.3.6", "9123456788")
    assert RUNTIME["GUNICORN_CMD_ARGS"] == "--access-logfile -"
    lines = [json.loads(line) for line in web.log().splitlines()]
    assert {line.get("route") for line in lines} >= {OTP, VERIFY, ME}
    for secret in (ADDRESS, "127.0.3.", PASSWORD, "912345678"):
        assert secret not in web.log()
    # There is one line for each setting that an operator should know, and no line for the platform's own
    # variables.
    assert [line["event"] for line in lines if line["level"] == "warning"] == [
        "REDIS_TLS_VERIFY=none: connections are encrypted, but Redis is not identified"
    ]


def test_restarts_under_load_lose_no_request_and_send_none_twice(platform: Platform, web: Dyno) -> None:
    # It continues with the connections that are used again.
    platform.router.remove(web.port)
    platform.emulator.clear()
    platform.emulator.set_fault(provider.slow(0.3), action="sms/send")
    dyno = platform.boot(2)
    dyno.wait_until_up()
    reused = platform.router.reused
    with Load(platform) as load:
        load.go_on()
        for number in (3, 4, 5):
            new = restart(platform, dyno, number)
            assert not dyno.killed
            assert "Traceback" not in dyno.log()
            dyno = new
            load.go_on()
    answered = {step: load.answers[f"{step} 200"] for step in ("otp", "verify", "me")}
    show("Heroku: three restarts", {"answers": load.answers, "lost": platform.router.lost})

    assert platform.router.lost == {}
    assert load.answers.total() == sum(answered.values())
    assert answered["otp"] == answered["verify"] == answered["me"]
    assert len(platform.emulator.messages) == answered["otp"]
    # The router did use connections again.
    assert platform.router.reused - reused > load.answers.total() / 2
    platform.emulator.set_fault(None)


def test_two_hundred_idle_connections_do_not_delay_a_stop_beyond_its_time(platform: Platform) -> None:
    dyno = platform.app.dyno(9).start()
    dyno.wait_until_up()
    with ExitStack() as stack:
        for number in range(2 * IDLE):
            one = socket.create_connection(("127.0.0.1", dyno.port), timeout=30, source_address=(ADDRESS, 0))
            stack.enter_context(one)
            if number < IDLE:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert one.recv(65536).startswith(b"HTTP/1.1 200")
        dyno.stop()
    assert not dyno.killed
    assert "Traceback" not in dyno.log()


def test_the_readmes_lines_for_a_host_of_ones_own_serve(tmp_path: Path, platform: Platform) -> None:
    with RedisServer() as redis:
        port = free_port()
        lines = block("otp-gateway serve")
        for placeholder, value in (
            ("SECRET_KEY=…", "SECRET_KEY=a-secret-of-a-host-of-ones-own-0123456789"),
            ("REDIS_URL=redis://…", f"REDIS_URL={redis.url}"),
            ("KAVENEGAR_API_KEY=…", f"KAVENEGAR_API_KEY={platform.emulator.api_key}"),
            ("otp-gateway serve", "exec otp-gateway serve"),
        ):
            assert lines.count(placeholder) == 1, placeholder
            lines = lines.replace(placeholder, value)
        subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=60)
        environment = {
            "PATH": f"{tmp_path}/venv/bin:/usr/bin:/bin",
            "HOME": str(Path.home()),
            "PORT": str(port),
            "KAVENEGAR_BASE_URL": platform.emulator.base_url,
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [BASH, "-ec", lines],
                cwd=platform.app.checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: is_healthy(process, port), "README's gateway", 120)
            body = {"phone_number": "09121112233"}
            assert requests.post(f"http://127.0.0.1:{port}{OTP}", json=body, timeout=15).status_code == 200
        finally:
            process.terminate()
            process.wait(40)
        assert process.returncode == 0, (tmp_path / "log").read_text(encoding="utf-8")


def is_healthy(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
