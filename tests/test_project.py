"""Files that stand around the package."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.gateway import ROOT

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z,]+\])?==[0-9][A-Za-z0-9.]*")
CODE = sorted(
    path
    for path in (ROOT / "otp_gateway").rglob("*")
    if path.suffix in {".py", ".lua", ".html", ".css", ".js"}
)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, "1"),
        ({"TRUSTED_PROXIES": ""}, "1"),
        ({"TRUSTED_PROXIES": "2"}, "2"),
        ({"TRUSTED_PROXIES": "0"}, "0"),
    ],
    ids=["unset", "empty", "two", "none"],
)
def test_the_procfile_trusts_one_proxy_unless_told_otherwise(
    tmp_path: Path, given: dict[str, str], seen: str
) -> None:
    stub = tmp_path / "gunicorn"
    stub.write_text('#!/bin/sh\necho "$TRUSTED_PROXIES" "$@"\n')
    stub.chmod(0o755)
    (command,) = re.findall(r"^web: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert done.stdout == f"{seen} wsgi:app\n"


REQUIREMENTS = ["requirements.txt", "requirements-sentry.txt", "requirements-dev.txt"]


def requirements(name: str) -> list[str]:
    """The lines of a file of requirements, without remarks."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if line]


def test_every_requirement_is_pinned_once() -> None:
    pins = [pin for name in REQUIREMENTS for pin in requirements(name) if not pin.startswith("-r ")]
    assert len(pins) > 50
    assert [pin for pin in pins if not PIN.fullmatch(pin)] == []
    names = [re.split(r"[\[=]", pin)[0].lower() for pin in pins]
    assert len(set(names)) == len(names)


def test_each_file_of_requirements_begins_with_the_one_that_it_extends() -> None:
    for extended, name in itertools.pairwise(REQUIREMENTS):
        assert [line for line in requirements(name) if line.startswith("-r ")] == [f"-r {extended}"]
    assert not any(line.startswith("-r ") for line in requirements(REQUIREMENTS[0]))
    # make installs again what any of them changes.
    [needs] = re.findall(r"^\$\(VENV\)/\.dev: (.+?) \|", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(needs.split()) == set(REQUIREMENTS)


def test_error_monitoring_is_optional() -> None:
    assert not any("sentry" in line for line in requirements("requirements.txt"))
    assert any(line.startswith("sentry-sdk==") for line in requirements("requirements-sentry.txt"))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_the_package_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_readme_names_the_two_commands_and_the_two_endpoints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert {"make run", "make test"} <= {line for block in commands for line in block.splitlines()}
    called = re.findall(r"^curl http://127\.0\.0\.1:8000(\S+)", "\n".join(commands), re.MULTILINE)
    assert {"/api/v1/usr/otp", "/api/v1/usr/otp/verify"} <= set(called)


DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_what_the_docs_link_to_exists(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_every_defence_that_the_docs_claim_is_proved_by_a_test_that_exists() -> None:
    proofs = re.findall(r"`(tests/[^:`]+)::(\w+)`", (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8"))
    assert len(proofs) > 35
    missing = [
        f"{file}::{name}"
        for file, name in proofs
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []
