"""The variables of the group "SMS"."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    backends,
    choice,
    integer,
    number,
    printable,
)
from otp_gateway.settings.sms_http import headers, sent_rule, template_url, webhook_secret
from otp_gateway.settings.urls import base_url
from otp_gateway.sms_http import SentRule


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
    sms_backend: tuple[str, ...] = variable(
        backends,
        "kavenegar",
        help="kavenegar, http (the variables SMS_HTTP_*), or console: messages are printed, not sent. A list "
        "such as kavenegar,http is in order of preference: if one fails, the next one sends the same code.",
    )
    sms_http_url: str | None = variable(
        optional(template_url),
        "",
        help="With SMS_BACKEND=http: the provider's URL. It, the headers and the body may hold {phone}, "
        "{phone_local}, {code}, {message}, {channel} and {reference}. Examples: docs/SENDERS.md",
        secret=True,
    )
    sms_http_method: str = variable(choice("POST", "GET", "PUT"), "POST", help="The method of this request.")
    sms_http_headers: dict[str, str] = variable(
        headers,
        "",
        help="A JSON object. Its Content-Type decides whether the body is JSON (the default) or a form "
        "(application/x-www-form-urlencoded).",
        secret=True,
    )
    sms_http_body: str = variable(
        str, "", help="The body: JSON, or a form such as to={phone}&text={message}", secret=True
    )
    sms_http_sent: SentRule = variable(
        sent_rule,
        "2xx",
        help="How a reply shows that the message is sent: 2xx, or a member of the JSON reply and its value, "
        "such as status=1 or return.status=200.",
    )
    sms_http_secret: bytes | None = variable(
        optional(webhook_secret),
        "",
        help="whsec_ and base64: signs each request as Standard Webhooks do, for an endpoint of your own.",
        secret=True,
    )
    sms_timeout: float = variable(
        number(0.1, 120), "10", help="Seconds for one send, including connect and retries."
    )
