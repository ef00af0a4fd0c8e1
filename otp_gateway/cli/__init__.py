"""The operator's commands: ``otp-gateway …`` of the installed package, ``flask otp …`` in a checkout."""

from __future__ import annotations

import os
from collections.abc import Callable

import click
from flask import Flask
from flask.cli import AppGroup

from otp_gateway import log
from otp_gateway.cli import activity, check, password, pause, phone, serve
from otp_gateway.gateway import Gateway
from otp_gateway.settings import Settings
from otp_gateway.settings.procfile import with_procfile
from otp_gateway.version import __version__

__all__ = ["application", "install", "is_wanted", "main"]


def install(app: Flask, build: Callable[[], Gateway]) -> None:
    """Add the commands to ``flask``. ``build`` may raise ``SettingsError``."""
    otp = AppGroup("otp", help="Operate the gateway.")
    _add_commands(otp, build)
    app.cli.add_command(otp)


def is_wanted() -> bool:
    """Whether ``flask`` looks for one of our commands, and not for an application to serve."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, click.Group)


def application() -> Flask:
    """Only the commands, without the gateway. So they can run if the settings are invalid."""
    log.configure("ERROR")
    app = Flask("otp_gateway")
    install(app, _from_environment)
    return app


def main() -> None:
    """``otp-gateway``: the commands without ``flask``, and the one that serves."""
    log.configure("ERROR")
    group = AppGroup(
        "otp-gateway", help="Serve and operate the gateway. Settings come from the environment and .env."
    )
    click.version_option(__version__)(group)
    _add_commands(group, _from_environment)
    serve.install(group)
    group(prog_name="otp-gateway")


def _add_commands(group: AppGroup, build: Callable[[], Gateway]) -> None:
    for module in (check, phone, pause, activity, password):
        module.install(group, build)


def _from_environment() -> Gateway:
    return Gateway.build(Settings.load(with_procfile(os.environ)))
