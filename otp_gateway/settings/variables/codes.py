"""The variables of the group "Codes and limits"."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from otp_gateway.credit import GateMode
from otp_gateway.model import MOST_DEVICE_DAYS, Window
from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    app_hash,
    budget,
    choice,
    integer,
    message,
    probability,
    regions,
    windows,
)
from otp_gateway.settings.test_numbers import numbers, until
from otp_gateway.settings.urls import domain


@dataclass(frozen=True, kw_only=True)
class CodeVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    otp_length: int = variable(
        integer(4, 10),
        "6",
        heading="Codes and limits",
        help="Digits of a code. 4 and 5 only if OTP_MAX_GUESS_PROBABILITY allows them.",
    )
    otp_expiry_time: int = variable(integer(1, 600), "300", help="Seconds until a code expires.")
    otp_max_attempts: int = variable(integer(1, 100), "3", help="Wrong tries per code.")
    otp_phone_limits: tuple[Window, ...] = variable(
        windows,
        "3/2minute;10/hour;20/day",
        help="Sends per phone: sliding windows in the notation of the `limits` library.",
    )
    otp_ip_limits: tuple[Window, ...] = variable(
        windows, "5/minute", help="Requests per IP address, for each endpoint that sends or verifies a code."
    )
    token_ip_limits: tuple[Window, ...] = variable(
        windows, "60/minute", help="Requests per IP address, for each endpoint that takes a token."
    )
    otp_max_failures_per_client: int = variable(
        integer(1, 1_000_000), "10", help="Failed verifies in 24 h per phone and client network."
    )
    otp_max_failures_per_phone: int = variable(
        integer(1, 1_000_000), "50", help="Failed verifies in 24 h per phone."
    )
    otp_device_days: int = variable(
        integer(0, MOST_DEVICE_DAYS),
        "90",
        help="Days for which a device token is valid. A user with such a token has own limits, so attacks on "
        "the phone's limits do not affect the user. A fifth of OTP_MAX_FAILURES_PER_PHONE, at most 10, is "
        "reserved for this. 0: no device tokens.",
    )
    otp_max_guess_probability: Decimal = variable(
        probability,
        "1e-4",
        help="The highest allowed probability that an attacker guesses a code of one phone within any 24 h. "
        "If 2 x OTP_MAX_FAILURES_PER_PHONE / 10^OTP_LENGTH is higher, the gateway does not start.",
    )
    otp_gate: GateMode = variable(
        choice("observe", "on", "off"),
        "observe",
        help="The send gate: a send to a stranger takes credit, and a login gives it back. observe: it "
        "refuses nothing, and log, metrics, panel and check show what `on` would do. on: without credit, "
        "clients must solve a challenge. See docs/OPERATIONS.md.",
    )
    otp_gate_credit: int = variable(
        integer(1, 1_000_000),
        "60",
        help="Sends without a login that the gate lets through at once: to all new networks together, and to "
        "all other networks together.",
    )
    otp_send_budget: tuple[Window, ...] = variable(
        budget,
        "",
        help="Sends that the operator pays for, in the notation of the `limits` library: 500/hour;5000/day. "
        "Strangers may use 70 % of it. Empty: no budget. With OTP_GATE=off it does not apply.",
    )
    otp_regions: tuple[str, ...] = variable(
        regions,
        "IR",
        help="Regions whose phones may log in: ISO 3166, comma-separated. The first is the default for "
        "national numbers. *: all regions.",
    )
    otp_message: str = variable(
        message,
        "کد تایید شما: {code}",
        help="The text of the SMS, with {code} exactly once. \\n is a line end, \\\\ a backslash. This "
        "file's quotes are not part of the text; `docker run --env-file` keeps quotes: leave them out there.",
    )
    otp_message_fa: str | None = variable(
        optional(message), "", help="The text for Persian readers (`lang`, or else Accept-Language)."
    )
    otp_message_en: str | None = variable(optional(message), "", help="The text for English readers.")
    otp_web_domain: str | None = variable(
        optional(domain),
        "",
        help='If set, the SMS ends with the line "@domain #code": browsers then fill in the code (WebOTP).',
    )
    otp_app_hash: str | None = variable(
        optional(app_hash),
        "",
        help='The 11 characters of your Android app: the last line of messages that "client": "android" '
        "requests (SMS Retriever), instead of the WebOTP line.",
    )
    otp_test_numbers: dict[str, str] = variable(
        numbers,
        "",
        help="Numbers that you own, at most ten, each with its code: +989990000001=424242. For app stores "
        "and tests: no SMS is sent, and the code is fixed. Needs OTP_TEST_NUMBERS_UNTIL.",
        secret=True,
    )
    otp_test_numbers_until: date | None = variable(
        optional(until),
        "",
        help="The last day of the test numbers, such as 2027-01-31, at most 180 days ahead. After it they "
        "are ordinary numbers.",
    )
