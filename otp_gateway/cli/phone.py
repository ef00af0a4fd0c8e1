"""``flask otp send``, ``status`` and ``unlock``: one phone, from a shell."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from otp_gateway.checks.provider import explain
from otp_gateway.cli.tools import Tools
from otp_gateway.errors import GatewayError, SendFailed, StoreUnavailable
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.phones import PhoneParser
from otp_gateway.settings import SettingsError
from otp_gateway.store.panel import PanelStore, PhoneState

STATES = {
    "active": "a code is live",
    "exhausted": "a code is live, but no try is left",
    "locked": "locked: too many wrong codes in 24 h",
    "verified": "signed in with its last code",
    "idle": "no code is live",
}


def install(otp: AppGroup, tools: Callable[[], Tools]) -> None:
    """Add the commands."""

    @otp.command("send", with_appcontext=False)
    @click.argument("number")
    @click.option("--channel", type=click.Choice(["sms", "call"]), default="sms", show_default=True)
    def send(number: str, channel: Channel) -> None:
        """Send a real message to NUMBER, with a code that signs nobody in.

        It goes past the limits, and touches neither Redis nor the phone's own code.
        """
        found, phone = _open(tools, number)
        if channel not in found.settings.channels:
            raise click.ClickException("Calls need KAVENEGAR_TEMPLATE.")
        if not found.sender.configured:
            raise click.ClickException("KAVENEGAR_API_KEY is not set.")
        code = found.codes.derive(phone, found.codes.propose(phone).nonce)
        try:
            found.sender.send(phone, code, channel, secrets.randbits(62))
        except SendFailed as error:
            sent = "Nothing was sent" if error.definite else "It may have been sent"
            raise click.ClickException(f"{sent}. {explain(error)}") from None
        click.echo(f"Handed over for {phone.masked}, with the code {code}, which signs nobody in.")

    @otp.command("status", with_appcontext=False)
    @click.argument("number")
    def status(number: str) -> None:
        """Tell what became of NUMBER's codes: did one go out, was it used, is the phone locked?"""
        found, phone = _open(tools, number)
        panel = _panel(found)
        try:
            state = panel.phone(panel.pid(phone))
            locked = panel.locked_clients(state.pid)
        except StoreUnavailable as error:
            raise click.ClickException(f"Redis does not answer ({error.reason}).") from None
        for line in _describe(found, phone, state, locked):
            click.echo(line)

    @otp.command("unlock", with_appcontext=False)
    @click.argument("number")
    def unlock(number: str) -> None:
        """Give NUMBER its tries back, and clear its failed ones of the last 24 h."""
        found, phone = _open(tools, number)
        panel = _panel(found)
        try:
            done = panel.unlock(panel.pid(phone))
        except StoreUnavailable as error:
            raise click.ClickException(f"Redis does not answer ({error.reason}).") from None
        click.echo(f"{phone.masked}: {'unlocked' if done else 'nothing to unlock'}.")


def _open(tools: Callable[[], Tools], number: str) -> tuple[Tools, PhoneNumber]:
    try:
        found = tools()
        return found, PhoneParser(found.settings.otp_regions).parse(number)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except GatewayError as error:
        raise click.ClickException(f"{error.detail}.") from None


def _panel(found: Tools) -> PanelStore:
    if found.settings.embedded:
        raise click.ClickException(
            "REDIS_URL is not set: the embedded store lives in the gateway's own process."
        )
    return PanelStore(found.client, found.codes, found.settings.policy)


def _describe(found: Tools, phone: PhoneNumber, state: PhoneState, locked: int) -> list[str]:
    policy = found.settings.policy
    left = f", for {state.code_left:.0f} s more" if state.code_left else ""
    lines = [
        f"{phone.masked}: {STATES[state.state]}{left}",
        f"  wrong tries      {state.tries} of {policy.max_attempts}",
        f"  failures, 24 h   {state.failures} of {policy.max_failures_per_phone}"
        + (f", for {state.failures_left / 3600:.1f} h more" if state.failures else "")
        + (f"; {locked} networks locked out" if locked else ""),
        f"  live sessions    {state.sessions}",
    ]
    lines += [
        f"  sends, {_span(window.seconds):<9} {used} of {window.limit}"
        for window, used in zip(policy.windows, state.in_windows, strict=True)
    ]
    return lines + _sends(found, state)


def _span(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _sends(found: Tools, state: PhoneState) -> list[str]:
    words: dict[str, str] = {}
    # A lookup has no localid to ask by.
    if found.desk and not found.settings.kavenegar_template and state.sends:
        with suppress(SendFailed):
            words = found.desk.deliveries_of([send.request_id for send in state.sends], found.codes)
    return [
        f"  {datetime.fromtimestamp(send.at, UTC):%Y-%m-%d %H:%M:%S} UTC  {send.channel}"
        + (f"  {words[send.request_id]}" if send.request_id in words else "")
        for send in state.sends
    ]
