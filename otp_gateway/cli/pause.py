"""``otp-gateway pause`` and ``mute``: stop messages to a prefix, a network or one phone for some time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from otp_gateway.api.client_address import address_of, networks_of
from otp_gateway.cli import activity
from otp_gateway.cli.opening import demand_shared_store, open_for_phone, open_gateway, redis_fault
from otp_gateway.cli.phone import number
from otp_gateway.errors import StoreUnavailable
from otp_gateway.gateway import Gateway
from otp_gateway.phones import is_prefix
from otp_gateway.store.activity import Entry
from otp_gateway.store.pauses import LONGEST, Kind, Pause

HOUR = 3600
CLIENT = re.compile(r"[A-Za-z0-9_-]{12}")
WORDS: dict[Kind, str] = {"prefix": "prefix ", "network": "network ", "phone": "phone "}

hours = click.option(
    "--hours",
    type=click.IntRange(1, LONGEST // HOUR),
    default=24,
    show_default=True,
    help="When it ends by itself.",
)
undo = click.option("--undo", is_flag=True, help="End it now.")


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the commands."""
    _install_pause(otp, build)
    _install_mute(otp, build)


def _install_pause(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("pause", with_appcontext=False)
    @click.argument("target", required=False)
    @hours
    @undo
    def pause(target: str | None, hours: int, *, undo: bool) -> None:
        """Let strangers of TARGET solve a challenge before each send; devices pass.

        TARGET is a prefix (country code and three digits, such as +98912), an IP address, or the id of a
        client's network as the log and the panel show it. Without TARGET, list everything that is paused.
        """
        gateway = open_gateway(build)
        demand_shared_store(gateway)
        try:
            if target is None:
                for each in gateway.panel.pauses.all():
                    click.echo(_line(each))
                return
            _change(gateway, *_target(gateway, target), hours=hours, undo=undo)
        except StoreUnavailable as error:
            raise redis_fault(error) from None


def _install_mute(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("mute", with_appcontext=False)
    @number
    @hours
    @undo
    def mute(number: tuple[str, ...], hours: int, *, undo: bool) -> None:
        """Send no messages to NUMBER that a stranger requests; the devices of the phone pass."""
        gateway, phone = open_for_phone(build, number)
        demand_shared_store(gateway)
        try:
            pid = gateway.codes.pid(phone)
            _change(gateway, "phone", pid, phone.masked, hours=hours, undo=undo)
        except StoreUnavailable as error:
            raise redis_fault(error) from None


def _change(gateway: Gateway, kind: Kind, target: str, masked: str = "", *, hours: int, undo: bool) -> None:
    if undo:
        ended = gateway.panel.pauses.end(kind, target)
        if ended:
            _note(gateway, "lift", ended)
        click.echo(f"{WORDS[kind]}{masked or target}: {'no longer paused' if ended else 'was not paused'}.")
        return
    pause = gateway.panel.pauses.start(kind, target, hours * HOUR, masked)
    _note(gateway, "mute" if kind == "phone" else "pause", pause)
    click.echo(_line(pause))


def _note(gateway: Gateway, action: str, pause: Pause) -> None:
    entry = Entry(
        operator=activity.operator(),
        action=action,
        masked=pause.masked,
        reference=pause.target if pause.kind == "phone" else "",
        target="" if pause.kind == "phone" else pause.target,
        until=0 if action == "lift" else pause.until,
    )
    gateway.panel.activity.add(entry)


def _target(gateway: Gateway, text: str) -> tuple[Kind, str]:
    prefix = f"+{text.removeprefix('+')}"
    if is_prefix(prefix):
        return "prefix", prefix
    address = address_of(text)
    if address:
        return "network", gateway.codes.client(networks_of(address)[0])
    if CLIENT.fullmatch(text):
        return "network", text
    raise click.BadParameter("give a prefix such as +98912, an IP address, or the id of a client's network")


def _line(pause: Pause) -> str:
    until = datetime.fromtimestamp(pause.until / 1000, UTC)
    name = f"{WORDS[pause.kind]}{pause.masked or pause.target}"
    return f"{name}: paused until {until:%Y-%m-%d %H:%M} UTC"
