"""The WSGI entry point: ``gunicorn wsgi:app``."""

import sys

from otp_gateway import create_app
from otp_gateway.settings import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))
