"""otp-gateway: phone login by one-time code, which you run yourself."""

from otp_gateway.app import create_app

__all__ = ["create_app"]
