"""gunicorn's configuration for ``gunicorn wsgi:app`` in a checkout: the package's own."""

from otp_gateway.server import configuration

globals().update(configuration())
