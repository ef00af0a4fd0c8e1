"""The WSGI entry point, ``gunicorn wsgi:app``; and what ``flask otp …`` finds."""

from otp_gateway import cli, server

app = cli.application() if cli.is_wanted() else server.application()
