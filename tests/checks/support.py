"""The checklist as a script reads it: ``flask otp check --json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Flask

from otp_gateway import cli
from otp_gateway.gateway import Gateway
from otp_gateway.settings import Settings
from tests.conftest import make_settings
from tests.support.kavenegar import KavenegarEmulator


@dataclass(frozen=True)
class Report:
    """The findings of one run. A name that is found twice is listed once, with its last finding."""

    exit_code: int
    status: str
    findings: list[tuple[str, str, str]]
    output: str

    def __getitem__(self, name: str) -> tuple[str, str]:
        """Status and message of a finding."""
        return next((status, message) for found, status, message in self.findings[::-1] if found == name)

    def of(self, name: str) -> str:
        """Only its status."""
        return self[name][0]

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.findings]


def commands(settings: Settings) -> Flask:
    """The commands over the parts that the settings name."""
    app = Flask(__name__)
    cli.install(
        app,
        lambda: Gateway.build(settings),
    )
    return app


def checked(url: str | None = None, **variables: Any) -> Report:
    """Run the whole checklist, and check the properties of every run."""
    words = ["otp", "check", "--json", *(["--url", url] if url else [])]
    result = commands(make_settings(**variables)).test_cli_runner().invoke(args=words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert set(document) == {"status", "checks"}
    findings = [(check["name"], check["status"], check["message"]) for check in document["checks"]]
    for name, status, message in findings:
        assert name.isidentifier()
        assert status in ("ok", "warning", "fault")
        assert message.isprintable()
        # No check has raised an error.
        assert "report it" not in message, message
    statuses = {status for _, status, _ in findings}
    worst = next(status for status in ("fault", "warning", "ok") if status in statuses)
    assert document["status"] == worst
    assert result.exit_code == (1 if worst == "fault" else 0)
    return Report(result.exit_code, document["status"], findings, result.stdout)


def provider(emulator: KavenegarEmulator) -> dict[str, str]:
    """The variables that name the emulator."""
    return {"KAVENEGAR_API_KEY": emulator.api_key, "KAVENEGAR_BASE_URL": emulator.base_url}
