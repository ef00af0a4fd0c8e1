"""gunicorn's configuration for ``otp-gateway serve``. gunicorn runs this file again at each reload."""

from otp_gateway.server import configuration

globals().update(configuration())
