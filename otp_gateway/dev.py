"""``make run``: the gateway on this machine, ready in one command."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from pathlib import Path

from flask import Flask
from werkzeug.security import generate_password_hash

from otp_gateway import pages, server
from otp_gateway.cli import serve
from otp_gateway.settings import read_variables


def main() -> None:
    """Serve like ``otp-gateway serve``. Settings that are not set get values for development.

    Serves on 127.0.0.1 only. Without a Kavenegar key, messages are printed to the terminal. Without a
    password hash, the admin panel gets a random password, and shows codes.
    """
    variables = read_variables(os.environ, Path(".env"))
    environ = dict(os.environ)
    # This is also done if .env names another backend, as the example does. Kavenegar sends nothing without a
    # key.
    if not variables.get("KAVENEGAR_API_KEY") and not os.environ.get("SMS_BACKEND"):
        environ["SMS_BACKEND"] = "console"
    password = secrets.token_urlsafe(9)
    panel = not variables.get("ADMIN_PASSWORD_HASH")
    if panel:
        environ["ADMIN_PASSWORD_HASH"] = generate_password_hash(password)
        environ["ADMIN_REVEAL_CODES"] = variables.get("ADMIN_REVEAL_CODES") or "true"
    port = variables.get("PORT", "8000")
    if port.isdecimal() and _is_taken(int(port)):
        sys.exit(f"Port {port} is in use: choose another one with: make run PORT=9000")
    lines = [f"Login page   http://127.0.0.1:{port}/"]
    if panel:
        lines.append(f"Admin panel  http://127.0.0.1:{port}/admin/  password: {password}")
    lines.append("Ctrl-C stops it.")
    print("\n" + "\n".join(f"  {line}" for line in lines) + "\n", flush=True)  # noqa: T201
    # Ctrl-C before gunicorn listens for it would print a traceback of half-done imports.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve.start(("--bind", f"127.0.0.1:{port}", "otp_gateway.dev:application()"), environ)


def application() -> Flask:
    """The application as in production, with a login page that shows how a session is refreshed."""
    app = server.application()
    app.config[pages.OFFERS_REFRESH] = True
    return app


def _is_taken(port: int) -> bool:
    """Whether another program listens on the port. gunicorn would try again for five seconds."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return True
    return False


if __name__ == "__main__":
    main()
