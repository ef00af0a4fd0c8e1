"""The variables of the group "SMS"."""

# `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    choice,
    integer,
    number,
    printable,
)
from otp_gateway.settings.urls import base_url
from otp_gateway.sms_backends import SMS_BACKENDS


@dataclass(frozen=True, kw_only=True)
class SmsVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    kavenegar_api_key: str | None = variable(
        optional(printable), "", heading="SMS", help="The API key of your Kavenegar account.", secret=True
    )
    kavenegar_sender: str = variable(
        printable,
        "10008663",
        help="The number that sends. Set but empty: Kavenegar chooses the number.",
        keep_empty=True,
    )
    kavenegar_template: str | None = variable(
        optional(printable),
        "",
        help="A template for verify/lookup: it is faster than sms/send and is not filtered. Calls need it. "
        "The text is stored at Kavenegar: OTP_MESSAGE and OTP_WEB_DOMAIN have no effect on it.",
    )
    kavenegar_base_url: str = variable(
        base_url,
        "https://api.kavenegar.com",
        help="Set another URL for an emulator or a proxy.",
        secret=True,  # the URL of a proxy may hold a password
    )
    kavenegar_min_credit: int = variable(
        integer(0, 10**12), "500000", help="Rial. Below it the log warns, and an alert can fire. 0: never."
    )
    sms_backend: str = variable(
        choice(*SMS_BACKENDS), "kavenegar", help="console: messages are printed, not sent."
    )
    sms_timeout: float = variable(
        number(0.1, 120), "10", help="Seconds for one send, including connect and retries."
    )
