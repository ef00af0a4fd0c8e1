"""``otp-gateway serve``: gunicorn, with the package's own configuration and application."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click
from flask.cli import AppGroup

# This is a file and not "python:…", because gunicorn reads a file again at a reload.
CONFIGURATION = Path(__file__).resolve().parents[1] / "gunicorn.conf.py"


def start(options: tuple[str, ...], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by gunicorn.

    ``options`` are gunicorn's options, and override our configuration.
    """
    # gunicorn reads WEB_CONCURRENCY itself, and fails if it is empty.
    environ = {name: value for name, value in environ.items() if value or name != "WEB_CONCURRENCY"}
    # Our configuration comes first. So a --config of the operator, here or in the options, overrides it.
    ours = shlex.join(["--config", str(CONFIGURATION)])
    environ["GUNICORN_CMD_ARGS"] = f"{ours} {environ.get('GUNICORN_CMD_ARGS', '')}".rstrip()
    os.execve(sys.executable, [sys.executable, "-m", "gunicorn", *options], environ)  # noqa: S606  # no shell


def install(group: AppGroup) -> None:
    """Add the command."""

    @group.command("serve", with_appcontext=False, context_settings={"ignore_unknown_options": True})
    @click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN OPTIONS]...")
    def serve(options: tuple[str, ...]) -> None:
        """Serve on 0.0.0.0 and PORT, or 8000.

        All options go to gunicorn, such as --bind 127.0.0.1:8001 or --check-config.
        GUNICORN_CMD_ARGS works too.
        """
        start(options, os.environ)
