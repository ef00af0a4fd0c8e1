"""``flask otp check``: the production checklist, for people or for scripts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click
from flask.cli import AppGroup

from otp_gateway import checks
from otp_gateway.checks import Finding, Site
from otp_gateway.cli.text import writable
from otp_gateway.gateway import Gateway
from otp_gateway.settings import SettingsError

COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}
TOTALS = {"fault": "fault(s)", "warning": "warning(s)", "ok": "ok"}


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the command."""

    @otp.command("check", with_appcontext=False)
    @click.option("--url", metavar="URL", help="The gateway's public URL, such as https://login.example.com")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
    @click.pass_context
    def check(context: click.Context, url: str | None, *, as_json: bool) -> None:
        """Check settings, SMS provider, Redis, and with --url the way from outside.

        Sends no SMS and changes nothing. The exit status is 1 if there is a fault, and 0 otherwise.
        """
        site = _site(url)
        found = []
        for finding in _findings(build, site):
            found.append(finding)
            if not as_json:
                _print(finding)
        counts: Counter[str] = Counter(finding.status for finding in found)
        if as_json:
            worst = next(status for status in TOTALS if counts[status])
            click.echo(
                # The output is ASCII with escapes, so that it can be written in every locale.
                json.dumps({"status": worst, "checks": [asdict(f) for f in found]}, indent=2)
            )
        else:
            click.echo("\n" + ", ".join(f"{counts[status]} {plural}" for status, plural in TOTALS.items()))
        context.exit(1 if counts["fault"] else 0)


def _site(url: str | None) -> Site | None:
    try:
        return None if url is None else Site(url)
    except ValueError:
        # The URL can hold a password, so the message does not repeat it.
        raise click.BadParameter("give a URL such as https://login.example.com", param_hint="--url") from None


def _findings(build: Callable[[], Gateway], site: Site | None) -> Iterator[Finding]:
    try:
        gateway = build()
    except SettingsError as error:
        yield from checks.unreadable(error)
        return
    yield from checks.run(gateway, site)


def _print(finding: Finding) -> None:
    status = click.style(f"{finding.status:<8}", fg=COLOURS[finding.status])
    click.echo(f"{status} {finding.name:<12} {writable(finding.message)}")
