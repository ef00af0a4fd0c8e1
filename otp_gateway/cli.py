"""``flask otp …``: the operator's commands."""

from __future__ import annotations

import sys

import click
from flask import Flask
from flask.cli import AppGroup
from werkzeug.security import generate_password_hash

MIN_PASSWORD = 10


def install(app: Flask) -> None:
    """Add the commands to ``flask``."""
    otp = AppGroup("otp", help="Operate the gateway.")

    @otp.command("hash-password")
    def hash_password() -> None:
        """Make ADMIN_PASSWORD_HASH: asks for the password, or reads it from standard input."""
        if sys.stdin.isatty():
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        if len(password) < MIN_PASSWORD:
            raise click.ClickException(f"The password must have at least {MIN_PASSWORD} characters.")
        click.echo(generate_password_hash(password))

    app.cli.add_command(otp)
