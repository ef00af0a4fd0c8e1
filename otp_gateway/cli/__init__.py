"""``flask otp …``: the operator's commands."""

from __future__ import annotations

from collections.abc import Callable

import click
from flask import Flask
from flask.cli import AppGroup

from otp_gateway import log
from otp_gateway.cli import check, password, phone
from otp_gateway.gateway import Gateway
from otp_gateway.settings import Settings

__all__ = ["application", "install", "is_wanted"]


def install(app: Flask, build: Callable[[], Gateway]) -> None:
    """Add the commands to ``flask``. ``build`` may raise ``SettingsError``."""
    otp = AppGroup("otp", help="Operate the gateway.")
    for module in (check, phone, password):
        module.install(otp, build)
    app.cli.add_command(otp)


def is_wanted() -> bool:
    """Whether ``flask`` is looking for a command of ours, and not for an application to serve."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, click.Group)


def application() -> Flask:
    """The commands alone: they work, each as far as it can, also with settings that the gateway refuses."""
    log.configure("ERROR")
    app = Flask("otp_gateway")
    install(app, lambda: Gateway.build(Settings.load()))
    return app
