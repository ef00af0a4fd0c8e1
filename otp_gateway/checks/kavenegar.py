"""Kavenegar's key, credit and account. The API reports on line and template only after a send."""

from __future__ import annotations

import time
from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, fault, ok, warning
from otp_gateway.errors import SendFailed
from otp_gateway.senders.kavenegar.codes import result_code, state_words
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.settings import Settings
from otp_gateway.store.provider_account import Account

PROVE = "the API shows no more without a send; test it with: flask otp send NUMBER"
WEEK = 7 * 86_400
# An earlier date (before 2001-09-09) is not the expiry of an account.
OLDEST_DATE = 1_000_000_000


def look(settings: Settings, reports: KavenegarReports) -> Iterator[Finding]:
    """Check key, credit, expiry, and line or template, with one call to the provider."""
    try:
        account = Account.read(reports.account(), now=int(time.time()))
    except SendFailed as error:
        yield fault("sms", explain(error))
        return
    yield ok("sms", "Kavenegar accepts KAVENEGAR_API_KEY")
    yield _credit(account, settings.kavenegar_min_credit)
    if account.expires is not None and account.expires > OLDEST_DATE:
        yield _expiry(account.expires - account.read_at)
    yield _method(settings)


def explain(error: SendFailed) -> str:
    """The meaning of the provider's refusal, and advice."""
    if error.reason == "entry":
        state = state_words(error.provider_code, error.label)
        return f"Kavenegar has taken the message, and says of it: {state}"
    if error.provider_code is not None:
        return f"Kavenegar answers {error.label}: {result_code(error.provider_code).advice}"
    return {
        "unreachable": "Kavenegar cannot be reached: look at KAVENEGAR_BASE_URL, DNS and the firewall",
        "tls": "Kavenegar's certificate is not accepted: look at KAVENEGAR_BASE_URL and the system's clock",
        "timeout": "Kavenegar does not answer in time: try again, then look at the network",
    }.get(error.reason, f"Kavenegar's answer makes no sense ({error.reason}): look at KAVENEGAR_BASE_URL")


def _credit(account: Account, minimum: int) -> Finding:
    if account.credit is None:
        return warning("credit", "Kavenegar does not report the credit: look at its panel")
    if account.credit < minimum:
        return fault("credit", f"{account.credit:,} Rial, below KAVENEGAR_MIN_CREDIT={minimum:,}: top it up")
    return ok("credit", f"{account.credit:,} Rial, at least {minimum:,}")


def _expiry(left: int) -> Finding:
    days = left // 86_400
    if left <= 0:
        return fault("account", "the Kavenegar account has expired: renew it")
    if left < WEEK:
        return warning("account", f"the Kavenegar account expires in {days} days: renew it")
    return ok("account", f"expires in {days} days")


def _method(settings: Settings) -> Finding:
    if settings.kavenegar_template:
        return ok("template", f"verify/lookup with {settings.kavenegar_template}; {PROVE}")
    line = settings.kavenegar_sender
    if not line:
        return ok("sender", f"the account's own line; {PROVE}")
    if not (line.isascii() and line.isdigit()):
        return warning("sender", f"KAVENEGAR_SENDER={line} is no line's number: {PROVE}")
    return ok("sender", f"line {line}; {PROVE}")
