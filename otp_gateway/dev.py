"""``make run``: the gateway on this machine, ready in one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dotenv import dotenv_values


def main() -> None:
    """Replace this process by gunicorn, with what development wants where nothing else is set.

    Serves on 127.0.0.1 only. Without a Kavenegar key, messages are printed to the terminal.
    """
    file = {k: v for k, v in dotenv_values(Path(".env")).items() if v}
    environ = file | {k: v for k, v in os.environ.items() if v}
    if not environ.get("KAVENEGAR_API_KEY"):
        environ.setdefault("SMS_BACKEND", "console")
    port = environ.setdefault("PORT", "8000")
    print(f"otp-gateway on http://127.0.0.1:{port} - Ctrl-C stops it", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    os.execve(sys.executable, command, environ)  # noqa: S606  # our own interpreter, no shell


if __name__ == "__main__":
    main()
