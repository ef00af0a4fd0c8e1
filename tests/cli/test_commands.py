"""The commands in a shell: flask finds them in every way that it knows, and they handle every fault."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from otp_gateway import create_app
from otp_gateway.store import connect
from otp_gateway.store.client import RedisClient
from tests.api.support import PHONE, Recorder
from tests.cli.support import FOLDER, SECRET, flask
from tests.conftest import SECRET_KEY, make_settings
from tests.support import kavenegar_faults as faults
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer
from tests.support.servers import LoopbackServer, free_port

COMMANDS = {
    "activity",
    "check",
    "forget-devices",
    "hash-password",
    "mute",
    "pause",
    "send",
    "status",
    "unlock",
}
# Three settings that the gateway refuses at once, together with a secret.
WRONG = {"SECRET_KEY": "short-hunter2", "OTP_LENGTH": "3", "REDIS_URL": "http://u:hunter2@example.com"}


def test_a_good_deployment_ends_with_0_and_says_so(
    redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    env = {
        **SECRET,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    }
    done = flask("otp", "check", env=env)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert "0 fault(s), 2 warning(s)" in done.stdout
    assert all(line.split()[0] in ("ok", "warning") for line in done.stdout.splitlines()[:-2])
    assert emulator.messages == []
    assert SECRET_KEY not in done.stdout
    assert emulator.api_key not in done.stdout


def test_every_fault_of_the_settings_is_a_line_and_nothing_else_is_asked() -> None:
    done = flask("otp", "check", env=WRONG)
    assert done.returncode == 1
    assert done.stderr == ""
    *lines, _, total = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["fault", "settings", f"{name}:"] for name in ("OTP_LENGTH", "REDIS_URL", "SECRET_KEY")
    ]
    assert total.startswith("3 fault(s), ")
    assert "hunter2" not in done.stdout


def test_faults_of_the_settings_are_json_for_scripts() -> None:
    done = flask("otp", "check", "--json", env=WRONG)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["status"] == "fault"
    assert [check["name"] for check in document["checks"]] == ["settings"] * 3
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize("command", ["send", "status", "unlock"])
def test_the_other_commands_name_the_faults_without_a_traceback(command: str) -> None:
    done = flask("otp", command, PHONE, env=WRONG)
    assert done.returncode == 1
    assert done.stdout == ""
    for name in ("OTP_LENGTH", "REDIS_URL", "SECRET_KEY"):
        assert f"  {name}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert "9123456789" not in done.stderr


def test_a_server_of_wrong_settings_still_does_not_start() -> None:
    for words in (("routes",), ("run", "--port", str(free_port()))):
        done = flask(*words, env=WRONG)
        assert done.returncode == 1
        assert "its settings are wrong" in done.stderr


def test_the_help_lists_the_commands() -> None:
    assert "otp " in flask("--help", env=WRONG).stdout
    listed = flask("otp", "--help", env=WRONG).stdout.partition("Commands:")[2].split("\n  ")
    assert {line.split()[0] for line in listed if line.strip()} == COMMANDS


@pytest.mark.parametrize("app", ["wsgi", "wsgi:app", "otp_gateway", "otp_gateway.app:create_app"])
def test_the_commands_are_found_under_every_name_of_the_application(app: str) -> None:
    done = flask("otp", "check", "--json", app=app)
    assert done.returncode == 1
    assert json.loads(done.stdout)["checks"][0]["name"] == "secret_key"


def test_in_the_projects_folder_no_name_is_needed() -> None:
    assert "hash-password" in flask("otp", "--help", app=None, folder=ROOT).stdout
    named = {**SECRET, "FLASK_APP": "wsgi"}
    assert "hash-password" in flask("otp", "--help", app=None, env=named).stdout


def test_flasks_own_commands_see_the_whole_application() -> None:
    assert "/api/v1/usr/otp" in flask("routes").stdout
    assert "usr.send_otp" in flask("shell", stdin="print(sorted(app.view_functions))\n").stdout


def test_an_env_file_counts_and_the_environment_outranks_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"SECRET_KEY={SECRET_KEY}\nREDIS_URL=redis://127.0.0.1:1/0\nOTP_LENGTH=8\n"
    )
    read = json.loads(flask("otp", "check", "--json", env={}, folder=tmp_path).stdout)["checks"]
    found = {check["name"]: check["message"] for check in read}
    assert found["redis"].startswith("unreachable")
    assert found["guess_probability"].startswith("at most 0.000001 ")
    set_ = flask("otp", "check", "--json", env={"OTP_LENGTH": "7"}, folder=tmp_path)
    found = {check["name"]: check["message"] for check in json.loads(set_.stdout)["checks"]}
    assert found["guess_probability"].startswith("at most 0.00001 ")


@pytest.mark.parametrize(
    "url", ["login.example.com", "https://u:hunter2@x:99999", "ftp://x", "https://", "https://u:hunter2@"]
)
def test_what_is_no_address_is_a_mistake_of_usage_that_is_not_repeated(url: str) -> None:
    done = flask("otp", "check", "--url", url)
    assert done.returncode == 2
    assert "https://login.example.com" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_poor_terminal_gets_the_whole_report(encoding: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTP_REGIONS=ایران\n", encoding="utf-8")
    env = {**SECRET, "PYTHONIOENCODING": encoding, "KAVENEGAR_TEMPLATE": "login"}
    for words in (("otp", "check"), ("otp", "check", "--json")):
        done = flask(*words, env=env, folder=tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "OTP_REGIONS" in done.stdout
    assert flask("otp", "check", env=env).stdout.splitlines()[-1].endswith(" ok")


def test_everything_hangs_and_the_report_ends_all_the_same(emulator: KavenegarEmulator) -> None:
    emulator.fault = faults.hang()
    silent = LoopbackServer(lambda *_: silent.closing.wait())
    silent.start()
    try:
        with RedisServer() as server:
            server.pause()
            env = {
                **SECRET,
                "REDIS_URL": server.url,
                "KAVENEGAR_API_KEY": emulator.api_key,
                "KAVENEGAR_BASE_URL": emulator.base_url,
            }
            began = time.monotonic()
            done = flask("otp", "check", "--url", f"http://127.0.0.1:{silent.port}", env=env)
            # Not a measurement: a command that blocks here never returns.
            assert time.monotonic() - began < 45
    finally:
        silent.stop()
    assert done.returncode == 1
    faulty = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fault ")]
    assert faulty == ["sms", "redis", "https"]


@pytest.mark.parametrize("command", ["status", "unlock"])
@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_a_phones_commands_end_when_redis_hangs(scheme: str, command: str) -> None:
    with RedisServer() as server:
        server.pause()
        path = "name" if "sentinel" in scheme else ""
        url = f"{scheme}://u:hunter2@127.0.0.1:{server.port}/{path}"
        done = flask("otp", command, PHONE, env={**SECRET, "REDIS_URL": url})
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: Redis: ")
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert "9123456789" not in done.stderr


def test_an_integrators_own_application_has_the_commands_over_its_own_parts() -> None:
    sender, store = Recorder(), connect(None)
    app = create_app(make_settings(), redis=store, sender=sender)
    runner = app.test_cli_runner()
    result = runner.invoke(args=["otp", "send", PHONE])
    assert result.exit_code == 0, result.output
    ((phone, code, channel),) = sender.sent
    assert (phone, channel) == (PHONE, "sms")
    assert f"the code {code}" in result.output
    assert runner.invoke(args=["otp", "check"]).exit_code == 1


def test_commands_over_a_store_of_the_integrators_own_end_without_a_traceback(
    redis_client: RedisClient, redis_server: RedisServer
) -> None:
    app = create_app(make_settings(REDIS_URL=redis_server.url), redis=redis_client, sender=Recorder())
    runner = app.test_cli_runner()
    for words in (["check"], ["check", "--json"], ["status", PHONE], ["unlock", PHONE]):
        result = runner.invoke(args=["otp", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "report it" not in result.output


def test_no_folder_but_its_own_is_written_to(tmp_path: Path) -> None:
    flask("otp", "check", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert sorted(path.name for path in FOLDER.iterdir()) == ["phones.json"]


@pytest.mark.parametrize(("dyno", "status"), [("run.1234", "ok"), ("", "warning")])
def test_on_a_platform_the_check_knows_what_the_procfile_sets_for_the_web_process(
    tmp_path: Path, dyno: str, status: str
) -> None:
    (tmp_path / "Procfile").symlink_to(ROOT / "Procfile")
    env = {**SECRET, "DYNO": dyno, "ADMIN_PASSWORD_HASH": generate_password_hash("a password for tests")}
    done = flask("otp", "check", "--json", env=env, folder=tmp_path)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["admin_panel"]["status"] == status
    assert ("TRUSTED_PROXIES=1" in found["proxies"]["message"]) == bool(dyno)
    # A value that the operator sets counts there, too.
    done = flask("otp", "check", "--json", env=env | {"TRUSTED_PROXIES": "2"}, folder=tmp_path)
    assert "TRUSTED_PROXIES=2" in done.stdout
