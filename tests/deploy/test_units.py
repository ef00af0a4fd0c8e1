"""The units of deploy/, checked by systemd's own checker and against gunicorn's own settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from otp_gateway.settings import Settings
from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT
from tests.support.nginx import SITE
from tests.support.programs import require_program
from tests.support.units import DEPLOY, Unit, install_units, read_unit

README = (DEPLOY / "README.md").read_text(encoding="utf-8")


def unit(kind: str) -> Unit:
    return read_unit((DEPLOY / f"otp-gateway@.{kind}").read_text(encoding="utf-8"), "8001")


def gunicorn_settings(directory: Path, **variables: str) -> dict[str, str]:
    """The settings that gunicorn reads from gunicorn.conf.py."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "--print-config"),
            *("-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"),
        ],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("kind", ["service", "socket"])
def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path, kind: str) -> None:
    checker = require_program("systemd-analyze")
    require_program("kill")
    units = install_units(tmp_path, {})

    done = subprocess.run(
        [checker, "verify", "--man=no", str(units / f"otp-gateway@8001.{kind}")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    # The output is also about other units of the machine.
    assert [line for line in done.stderr.splitlines() if "otp-gateway" in line] == []
    assert done.returncode == 0


def test_systemd_finds_the_service_well_locked_in() -> None:
    done = subprocess.run(
        [
            *(require_program("systemd-analyze"), "security", "--no-pager", "--offline=yes"),
            *("--threshold=20", str(DEPLOY / "otp-gateway@.service")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    # The score is 2.0 of 10.
    assert done.returncode == 0, done.stdout[-300:]


def test_systemd_gives_a_gateway_more_time_to_stop_than_gunicorn_takes(tmp_path: Path) -> None:
    # The longest allowed value. TERM may have to wait for a reload, which takes as long.
    settings = gunicorn_settings(tmp_path, SMS_TIMEOUT="120")
    (stop,) = unit("service")["Service"]["TimeoutStopSec"]
    assert int(stop) > 2 * int(settings["graceful_timeout"])


def test_nginx_waits_longer_than_a_request_behind_a_restart_takes(tmp_path: Path) -> None:
    (timeout,) = re.findall(r"proxy_read_timeout (\d+)s;", SITE.read_text(encoding="utf-8"))
    for sms_timeout in (10, 20):
        settings = gunicorn_settings(tmp_path, SMS_TIMEOUT=str(sms_timeout))
        # The grace of the old workers, a start, and the longest request: a send, and 3 s for Redis.
        assert int(timeout) > int(settings["graceful_timeout"]) + 5 + sms_timeout + 3


def test_the_socket_is_as_gunicorn_would_open_it_but_only_for_this_host(tmp_path: Path) -> None:
    socket = unit("socket")["Socket"]
    assert socket["ListenStream"] == ["127.0.0.1:8001"]
    assert socket["Backlog"] == [gunicorn_settings(tmp_path)["backlog"]]
    upstream = re.findall(r"server (127\S+)", SITE.read_text(encoding="utf-8"))
    assert upstream == ["127.0.0.1:8001", "127.0.0.1:8002"]


def test_the_files_of_the_workers_are_in_the_units_own_runtime_directory() -> None:
    service = unit("service")["Service"]
    directory = "/run/otp-gateway-8001"
    assert [f"/run/{name}" for name in service["RuntimeDirectory"]] == [directory]
    assert f"METRICS_DIR={directory}" in service["Environment"][0].split()
    assert service["ExecStart"][0].endswith(f" serve --worker-tmp-dir {directory}")


def test_the_readmes_environment_file_is_what_the_gateway_takes() -> None:
    (file,) = re.findall(r"^```ini\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    variables = dict(line.split("=", 1) for line in file.splitlines())
    assert variables["SECRET_KEY"] == variables["KAVENEGAR_API_KEY"] == "…"

    filled_in = variables | {"SECRET_KEY": SECRET_KEY, "KAVENEGAR_API_KEY": "key"}
    settings = Settings.load(filled_in, dotenv=None)

    assert settings.trusted_proxies == 1
    assert settings.warnings() == []


def test_the_readme_installs_every_file_to_where_the_units_and_nginx_look() -> None:
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    for path in DEPLOY.iterdir():
        # Grafana takes its dashboard through the browser.
        text = README if path.suffix == ".json" else commands
        assert path.name == "README.md" or f"deploy/{path.name}" in text
    service = unit("service")["Service"]
    for place in (*service["EnvironmentFile"], *service["WorkingDirectory"]):
        assert place in commands
    assert f"useradd --system --no-create-home --shell /usr/sbin/nologin {service['User'][0]}\n" in commands
