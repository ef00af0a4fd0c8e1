"""The number of SMS parts of the message, which decides its price."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, ok, warning
from otp_gateway.senders.message import compose, length, outside_gsm
from otp_gateway.settings import Settings
from otp_gateway.sms_backends import SMS_BACKENDS

# Up to this number of different characters, each is named, such as a typographic quote in an English text.
FEW = 3


def look(settings: Settings) -> Iterator[Finding]:
    """The parts of the longest text that can be sent: with a whole code and with all its lines."""
    variable = SMS_BACKENDS[settings.sms_backend].stored_text
    template = variable and getattr(settings, variable.lower())
    if template:
        yield ok("message", f"{variable}={template}: the provider has the text, OTP_MESSAGE does not apply")
        return
    text = compose(settings.otp_message, "0" * settings.otp_length, settings.otp_web_domain)
    found = length(text)
    size = f"({found.used} of {found.places} characters)"
    if found.parts == 1:
        yield ok("message", f"1 SMS part {size}")
        return
    reasons = "; ".join(_reasons(settings, text))
    yield warning("message", f"{found.parts} SMS parts {size}, and each has its price: {reasons}")


def _reasons(settings: Settings, text: str) -> Iterator[str]:
    alone = compose(settings.otp_message, "0" * settings.otp_length)
    line = f" and the line for OTP_WEB_DOMAIN {len(text) - len(alone)}" if len(text) > len(alone) else ""
    yield f"OTP_MESSAGE has {len(alone)}{line}"
    others = outside_gsm(text)
    if length("".join("?" if c in others else c for c in text)).parts < length(text).parts:
        if len(others) <= FEW:
            names = ", ".join(f"U+{ord(c):04X}" + (f" {c}" if c.isprintable() else "") for c in others)
            yield f"without {names} (not in the GSM alphabet), one part would have 160"
        else:
            yield "one part has 70 in an alphabet other than GSM's, and each of several has 67"
