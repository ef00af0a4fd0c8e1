"""``flask otp hash-password``."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click
from flask.cli import AppGroup
from werkzeug.security import generate_password_hash

from otp_gateway.gateway import Gateway

MIN_PASSWORD = 10


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the command."""
    del build  # a hash needs no gateway

    @otp.command("hash-password", with_appcontext=False)
    def hash_password() -> None:
        """Make ADMIN_PASSWORD_HASH from a password, which is typed or comes from standard input."""
        if sys.stdin.isatty():
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = _first_line()
        if len(password) < MIN_PASSWORD:
            raise click.ClickException(f"The password must have at least {MIN_PASSWORD} characters.")
        click.echo(generate_password_hash(password))


def _first_line() -> str:
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.ClickException("The password is no UTF-8 text.") from None
