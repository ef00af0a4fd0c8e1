"""``flask otp activity``: lists the actions of operators."""

from __future__ import annotations

import getpass
from collections.abc import Callable

import click
from flask.cli import AppGroup

from otp_gateway.cli.opening import demand_shared_store, open_gateway, redis_fault
from otp_gateway.cli.text import writable
from otp_gateway.errors import StoreUnavailable
from otp_gateway.gateway import Gateway
from otp_gateway.store.activity import KEPT, Entry
from otp_gateway.support.times import Times
from otp_gateway.support.words import words_of


def operator() -> str:
    """The operator of a command, for the activity log: the user of the machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container can run under a user id that has no name.
        name = "?"
    return f"cli:{name}"


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the command."""

    @otp.command("activity", with_appcontext=False)
    @click.option("--last", type=click.IntRange(1, KEPT), default=50, show_default=True)
    def activity(last: int) -> None:
        """List the actions of operators in the last 30 days, newest first."""
        gateway = open_gateway(build)
        demand_shared_store(gateway)
        try:
            found, _ = gateway.panel.activity.page(0, last)
        except StoreUnavailable as error:
            raise redis_fault(error) from None
        times = Times(gateway.settings.panel_zone, "en")
        for listed in found:
            click.echo(writable(_line(listed.entry, times)))
        if not found:
            click.echo(words_of("en")("activity.none"))


def _line(entry: Entry, times: Times) -> str:
    words = words_of("en")
    parts = [
        f"{times.moment(entry.at)} {times.zone}",
        entry.operator or words("activity.nameless"),
        words.known(f"activity.{entry.action}", entry.action),
        entry.masked or entry.target,
    ]
    if entry.until:
        parts.append(f"{words('activity.until')} {times.moment(entry.until / 1000)}")
    return "  ".join(filter(None, parts))
