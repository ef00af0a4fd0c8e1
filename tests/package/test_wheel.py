"""The wheel: its content, its metadata, and that it works without the checkout."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from werkzeug.security import check_password_hash

from otp_gateway.version import __version__
from tests.conftest import SECRET_KEY
from tests.package.conftest import DOWNLOAD_SECONDS
from tests.support.gateway import ROOT
from tests.support.programs import require_program
from tests.support.redis_server import wait_until
from tests.support.servers import free_port

# The first test of a process installs the wheel.
pytestmark = pytest.mark.timeout(3 * DOWNLOAD_SECONDS)
PHONE = "09123456789"
# We use them without an import: the server, files for /docs, and what redis-py imports if it is installed.
NOT_IMPORTED = {"gunicorn", "flask-swagger-ui", "hiredis"}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SECRET_KEY": SECRET_KEY, **variables}


def run(command: Path, *words: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the installed command in this folder, with the settings of `environment`."""
    return subprocess.run(
        [command, *words],
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Served:
    """``otp-gateway serve`` that runs in a folder."""

    def __init__(self, port: int, output: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self._output = output

    def log(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def is_healthy(self) -> bool:
        try:
            return self.get("healthz").status_code == 200
        except requests.ConnectionError:
            return False

    def get(self, path: str) -> requests.Response:
        return requests.get(urljoin(self.url, path), timeout=15)

    def post(self, path: str, body: object) -> requests.Response:
        return requests.post(urljoin(self.url, path), json=body, timeout=15)


@contextmanager
def serving(commands: Path, tmp_path: Path, **variables: str) -> Iterator[Served]:
    """Serve from an empty folder; the folder is still empty afterwards."""
    folder = tmp_path / "empty"
    folder.mkdir()
    port = free_port()
    served = Served(port, tmp_path / "output")
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [commands / "otp-gateway", "serve", "--bind", f"127.0.0.1:{port}"],
            cwd=folder,
            env=environment(SMS_BACKEND="console", PYTHONUNBUFFERED="1", **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(served.is_healthy, "the installed gateway")
        yield served
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0, served.log()
    assert list(folder.iterdir()) == []


def test_the_wheel_contains_every_file_of_the_package_that_git_tracks(wheel: Path) -> None:
    listed = [require_program("git"), "-C", str(ROOT), "ls-files", "--", "otp_gateway"]
    tracked = set(subprocess.check_output(listed, text=True, timeout=30).split())
    assert {Path(name).suffix for name in tracked} >= {".lua", ".html", ".css", ".js", ".json", ".typed"}
    with zipfile.ZipFile(wheel) as archive:
        assert tracked - set(archive.namelist()) == set()


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert metadata(wheel)["Version"] == __version__


def test_the_wheel_declares_exactly_the_libraries_that_the_package_uses(wheel: Path) -> None:
    declared = map(Requirement, metadata(wheel).get_all("Requires-Dist", []))
    names = {canonicalize_name(requirement.name) for requirement in declared}
    distributions = packages_distributions()
    used = {
        canonicalize_name(distributions[name][0])
        for path in (ROOT / "otp_gateway").rglob("*.py")
        for name in libraries_in(path)
    }
    assert names == used | NOT_IMPORTED


def libraries_in(path: Path) -> set[str]:
    """The first parts of the module names that it imports from other projects."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names} - {"otp_gateway"}


def test_error_reports_are_an_extra(wheel: Path) -> None:
    declared = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    (sentry,) = [requirement for requirement in declared if requirement.name == "sentry-sdk"]
    assert str(sentry.marker) == 'extra == "sentry"'
    assert [r.name for r in declared if r.marker is not None] == ["sentry-sdk"]


def test_the_pinned_requirements_are_what_the_wheel_declares(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "pip", "check", folder=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_installed_gateway_sends_and_verifies_from_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    with serving(installed, tmp_path) as served:
        sent = served.post("api/v1/usr/otp", {"phone_number": PHONE})
        assert sent.status_code == 200, sent.text
        (code,) = re.findall(r"^  \| .*\b(\d{6})\b", served.log(), re.MULTILINE)
        verified = served.post("api/v1/usr/otp/verify", {"phone_number": PHONE, "code": code})
    assert verified.status_code == 200, verified.text
    assert verified.json()["user"]["phone_number"] == "+989123456789"


def test_the_installed_gateway_has_its_pages_and_their_files(installed: Path, tmp_path: Path) -> None:
    made = run(installed / "otp-gateway", "hash-password", folder=tmp_path, stdin="long enough\n")
    assert check_password_hash(made.stdout.strip(), "long enough")
    with serving(installed, tmp_path, ADMIN_PASSWORD_HASH=made.stdout.strip()) as served:
        for path in ("", "docs", "admin/"):
            page = served.get(path)
            assert page.status_code == 200, path
            files = re.findall(r'(?:href|src)="([^"#]+\.(?:css|js|svg|png)[^"]*)"', page.text)
            assert files, path
            assert [served.get(urljoin(page.url, file)).status_code for file in files] == [200] * len(files)


def test_the_installed_command_checks_the_settings(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "otp-gateway", "check", "--json", folder=tmp_path)
    assert done.stderr == ""
    assert done.returncode == 1
    found = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert "secret_key" in found
    assert found["redis"] == "fault"
