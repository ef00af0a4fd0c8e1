"""The cookie in which a browser keeps device tokens, if tokens are in cookies."""

from __future__ import annotations

from flask import Response, request

from otp_gateway.abuse.devices import DIVIDER, Devices
from otp_gateway.model import PhoneNumber

DEVICE_COOKIE = "__Secure-device"


class DeviceCookie:
    """Keeps the tokens of the newest phones of a browser.

    The cookie is valid for longer than the session, and a sign-out does not remove it.
    """

    def __init__(self, devices: Devices, path: str) -> None:
        """``path``: the path of the endpoints that read the cookie; browsers send it nowhere else."""
        self._devices = devices
        self._path = path

    def tokens(self) -> str:
        """The tokens, separated by dots. Without a cookie, the text is empty.

        There can be several cookies of this name, because a sibling subdomain can set one too.
        """
        return DIVIDER.join(request.cookies.getlist(DEVICE_COOKIE))

    def add(self, response: Response, token: str, phone: PhoneNumber) -> None:
        """Store the new token of the phone in the browser. It replaces the phone's earlier token."""
        kept = self._devices.remembered(token, self.tokens(), phone)
        self._set(response, kept, self._devices.lifetime)

    def remove(self, response: Response) -> None:
        """Remove the tokens of all phones from the browser."""
        self._set(response, "", 0)

    def _set(self, response: Response, value: str, max_age: int) -> None:
        response.set_cookie(
            DEVICE_COOKIE,
            value,
            max_age=max_age,
            path=self._path,
            secure=True,
            httponly=True,
            samesite="Strict",
        )
