"""otp-gateway: phone login by one-time code, for anybody to run."""

from otp_gateway.app import create_app

__all__ = ["create_app"]
