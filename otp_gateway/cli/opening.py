"""Opens the gateway for a command, and ends the command with a message if this fails."""

from __future__ import annotations

from collections.abc import Callable

import click

from otp_gateway.checks.redis import explain
from otp_gateway.errors import InvalidPhoneNumber, StoreUnavailable, UnsupportedDestination
from otp_gateway.gateway import Gateway
from otp_gateway.model import PhoneNumber
from otp_gateway.settings import SettingsError


def open_gateway(build: Callable[[], Gateway]) -> Gateway:
    """The gateway. Invalid settings end the command."""
    try:
        return build()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def open_for_phone(build: Callable[[], Gateway], number: tuple[str, ...]) -> tuple[Gateway, PhoneNumber]:
    """The gateway and the phone. A number that it does not accept ends the command."""
    gateway = open_gateway(build)
    try:
        # The message does not contain the number, because terminals are recorded too.
        return gateway, gateway.phones.parse(" ".join(number))
    except InvalidPhoneNumber:
        raise click.ClickException("This is no mobile number: write it with + and country code.") from None
    except UnsupportedDestination:
        raise click.ClickException("The number's region is not in OTP_REGIONS.") from None


def redis_fault(error: StoreUnavailable) -> click.ClickException:
    """The error that ends a command if Redis did not answer."""
    return click.ClickException(f"Redis: {explain(error)}.")


def demand_shared_store(gateway: Gateway) -> None:
    """End a command that needs a Redis in its own process."""
    if gateway.settings.embedded:
        raise click.ClickException(
            "REDIS_URL is not set: the embedded store lives in the gateway's own process."
        )
