"""The WSGI entry point, ``gunicorn wsgi:app``; and what ``flask otp …`` finds."""

import sys

from otp_gateway import cli, create_app
from otp_gateway.settings import SettingsError

try:
    app = cli.application() if cli.is_wanted() else create_app()
except SettingsError as error:
    sys.exit(str(error))
