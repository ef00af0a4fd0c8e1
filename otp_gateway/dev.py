"""``make run``: the gateway on this machine, ready in one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from otp_gateway.settings import read_variables


def main() -> None:
    """Replace this process by gunicorn, with what development wants where nothing else is set.

    Serves on 127.0.0.1 only. Without a Kavenegar key, messages are printed to the terminal.
    """
    variables = read_variables(os.environ, Path(".env"))
    # gunicorn itself reads WEB_CONCURRENCY, and takes an empty one for a number.
    environ = {n: v for n, v in os.environ.items() if v or n != "WEB_CONCURRENCY"}
    if not variables.get("KAVENEGAR_API_KEY") and not variables.get("SMS_BACKEND"):
        environ["SMS_BACKEND"] = "console"
    port = variables.get("PORT", "8000")
    print(f"otp-gateway on http://127.0.0.1:{port} - Ctrl-C stops it", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    os.execve(sys.executable, command, environ)  # noqa: S606  # our own interpreter, no shell


if __name__ == "__main__":
    main()
