"""``make run``: the gateway on this machine, ready in one command."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path

from werkzeug.security import generate_password_hash

from otp_gateway.settings import read_variables


def main() -> None:
    """Replace this process by gunicorn, with what development wants where nothing else is set.

    Serves on 127.0.0.1 only. Without a Kavenegar key, messages are printed to the terminal; without a hash
    of its own, the admin panel gets a password made anew, and shows codes.
    """
    variables = read_variables(os.environ, Path(".env"))
    # gunicorn itself reads WEB_CONCURRENCY, and takes an empty one for a number.
    environ = {n: v for n, v in os.environ.items() if v or n != "WEB_CONCURRENCY"}
    # Whatever .env says, which may be the example as it is: without a key, Kavenegar sends nothing.
    if not variables.get("KAVENEGAR_API_KEY") and not os.environ.get("SMS_BACKEND"):
        environ["SMS_BACKEND"] = "console"
    password = secrets.token_urlsafe(9)
    panel = not variables.get("ADMIN_PASSWORD_HASH")
    if panel:
        environ["ADMIN_PASSWORD_HASH"] = generate_password_hash(password)
        environ["ADMIN_REVEAL_CODES"] = variables.get("ADMIN_REVEAL_CODES") or "true"
    port = variables.get("PORT", "8000")
    lines = [f"Login page   http://127.0.0.1:{port}/"]
    if panel:
        lines.append(f"Admin panel  http://127.0.0.1:{port}/admin/  password: {password}")
    lines.append("Ctrl-C stops it.")
    print("\n" + "\n".join(f"  {line}" for line in lines) + "\n", flush=True)  # noqa: T201
    # Ctrl-C before gunicorn listens for it would print a traceback of half-done imports.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # No SMS is under way here that a stop should wait for.
    options = ["--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2"]
    command = [sys.executable, "-m", "gunicorn", *options, "wsgi:app"]
    os.execve(sys.executable, command, environ)  # noqa: S606  # our own interpreter, no shell


if __name__ == "__main__":
    main()
