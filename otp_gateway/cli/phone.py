"""``flask otp send``, ``status`` and ``unlock``: one phone, from a shell."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from otp_gateway.checks.kavenegar import explain
from otp_gateway.checks.redis import explain as explain_store
from otp_gateway.checks.sms_backend import unset_variables
from otp_gateway.errors import InvalidPhoneNumber, SendFailed, StoreUnavailable, UnsupportedDestination
from otp_gateway.gateway import Gateway
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.settings import SettingsError
from otp_gateway.store.phone_state import PhoneState

STATES = {
    "active": "a code is live",
    "exhausted": "a code is live, but no try is left",
    "locked": "locked: too many wrong codes in 24 h",
    "verified": "signed in with its last code",
    "idle": "no code is live",
}


# A number's blanks make several words of it in a shell.
number = click.argument("number", nargs=-1, required=True)


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the commands."""
    _install_send(otp, build)
    _install_status(otp, build)
    _install_unlock(otp, build)


def _install_send(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("send", with_appcontext=False)
    @number
    @click.option("--channel", type=click.Choice(["sms", "call"]), default="sms", show_default=True)
    def send(number: tuple[str, ...], channel: Channel) -> None:
        """Send a real message to NUMBER, with a code that signs nobody in.

        It goes past the limits, and touches neither Redis nor the phone's own code.
        """
        gateway, phone = _open(build, number)
        if channel not in gateway.settings.channels:
            raise click.ClickException("Calls need KAVENEGAR_TEMPLATE.")
        if not gateway.sender.configured:
            unset = unset_variables(gateway.settings)
            raise click.ClickException(f"{', '.join(unset)} is not set.")
        code = gateway.codes.derive(phone, gateway.codes.propose(phone).nonce)
        try:
            gateway.sender.send(phone, code, channel, secrets.randbits(62))
        except SendFailed as error:
            sent = "Nothing was sent" if error.definite else "It may have been sent"
            raise click.ClickException(f"{sent}. {explain(error)}") from None
        click.echo(f"Handed over for {phone.masked}, with the code {code}, which signs nobody in.")


def _install_status(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("status", with_appcontext=False)
    @number
    def status(number: tuple[str, ...]) -> None:
        """Tell what became of NUMBER's codes: did one go out, was it used, is the phone locked?"""
        gateway, phone = _open(build, number)
        _demand_shared_store(gateway)
        try:
            state = gateway.phone_states.phone(gateway.codes.pid(phone))
        except StoreUnavailable as error:
            raise _store_trouble(error) from None
        for line in _describe(gateway, phone, state):
            click.echo(line)


def _install_unlock(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("unlock", with_appcontext=False)
    @number
    def unlock(number: tuple[str, ...]) -> None:
        """Give NUMBER its tries back, and clear its failed ones of the last 24 h."""
        gateway, phone = _open(build, number)
        _demand_shared_store(gateway)
        try:
            done = gateway.operator_actions.unlock(gateway.codes.pid(phone))
        except StoreUnavailable as error:
            raise _store_trouble(error) from None
        click.echo(f"{phone.masked}: {'unlocked' if done else 'nothing to unlock'}.")


def _open(build: Callable[[], Gateway], number: tuple[str, ...]) -> tuple[Gateway, PhoneNumber]:
    try:
        gateway = build()
        # The number itself stands in no message: terminals are recorded, too.
        return gateway, gateway.phones.parse(" ".join(number))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except InvalidPhoneNumber:
        raise click.ClickException("This is no mobile number: write it with + and country code.") from None
    except UnsupportedDestination:
        raise click.ClickException("The number's region is not in OTP_REGIONS.") from None


def _store_trouble(error: StoreUnavailable) -> click.ClickException:
    return click.ClickException(f"Redis: {explain_store(error)}.")


def _demand_shared_store(gateway: Gateway) -> None:
    if gateway.settings.embedded:
        raise click.ClickException(
            "REDIS_URL is not set: the embedded store lives in the gateway's own process."
        )


def _describe(gateway: Gateway, phone: PhoneNumber, state: PhoneState) -> list[str]:
    policy = gateway.settings.policy
    left = f", for {state.code_left:.0f} s more" if state.code_left else ""
    lines = [
        f"{phone.masked}: {STATES[state.state]}{left}",
        f"  wrong tries      {state.tries} of {policy.max_attempts}",
        f"  failures, 24 h   {state.failures} of {policy.common_failures}"
        + (f", for {state.failures_left / 3600:.1f} h more" if state.failures else "")
        + f"; networks locked out: {state.locked_clients}",
        f"  live sessions    {state.sessions}",
    ]
    lines += [
        f"  sends, {_span(window.seconds):<9} {used} of {window.limit}"
        for window, used in zip(policy.windows, state.in_windows, strict=True)
    ]
    return lines + _sends(gateway, state)


def _span(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _sends(gateway: Gateway, state: PhoneState) -> list[str]:
    words: dict[str, str] = {}
    # A lookup has no localid to ask by.
    if gateway.reports and not gateway.settings.kavenegar_template and state.sends:
        with suppress(SendFailed):
            words = gateway.reports.deliveries_of([send.send_id for send in state.sends], gateway.codes)
    return [
        f"  {datetime.fromtimestamp(send.at, UTC):%Y-%m-%d %H:%M:%S} UTC  {send.channel}"
        + (f"  {words[send.send_id]}" if send.send_id in words else "")
        for send in state.sends
    ]
