"""The number of SMS parts of the message, which decides its price."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, ok, warning
from otp_gateway.senders.message import Texts, compose, length, outside_gsm
from otp_gateway.settings import Settings
from otp_gateway.sms_backends import SMS_BACKENDS

# If there are at most so many different characters, each is named (such as a typographic quote in English).
FEW = 3


def look(settings: Settings) -> Iterator[Finding]:
    """The number of parts of the longest text that can be sent: with a code and with all its lines."""
    stored = [
        f"{variable}={getattr(settings, variable.lower())}"
        for variable in (SMS_BACKENDS[name].stored_text for name in settings.sms_backend)
        if variable and getattr(settings, variable.lower())
    ]
    if len(stored) == len(settings.sms_backend):
        yield ok("message", f"{stored[0]}: the provider has the text, OTP_MESSAGE does not apply")
        return
    texts = Texts.from_settings(settings)
    yield _parts(settings, "OTP_MESSAGE", texts.default)
    for language, text in texts.by_language.items():
        yield _parts(settings, f"OTP_MESSAGE_{language.upper()}", text)


def _parts(settings: Settings, name: str, template: str) -> Finding:
    """The number of parts of one text, with the longer one of the last lines for the web and for Android."""
    code = "0" * settings.otp_length
    text = compose(template, code, settings.otp_web_domain)
    android = compose(template, code, app_hash=settings.otp_app_hash)
    text = max(text, android, key=lambda each: length(each).parts)
    found = length(text)
    size = f"({found.used} of {found.places} characters)"
    of = "" if name == "OTP_MESSAGE" else f"{name}: "
    if found.parts == 1:
        return ok("message", f"{of}1 SMS part {size}")
    reasons = "; ".join(_reasons(name, template, code, text))
    return warning("message", f"{of}{found.parts} SMS parts {size}, and each has its price: {reasons}")


def _reasons(name: str, template: str, code: str, text: str) -> Iterator[str]:
    alone = compose(template, code)
    last = "OTP_WEB_DOMAIN" if "@" in text[len(alone) :] else "OTP_APP_HASH"
    line = f" and the line for {last} {len(text) - len(alone)}" if len(text) > len(alone) else ""
    yield f"{name} has {len(alone)}{line}"
    others = outside_gsm(text)
    if length("".join("?" if c in others else c for c in text)).parts < length(text).parts:
        if len(others) <= FEW:
            names = ", ".join(f"U+{ord(c):04X}" + (f" {c}" if c.isprintable() else "") for c in others)
            yield f"without {names} (not in the GSM alphabet), one part would have 160"
        else:
            yield "one part has 70 in an alphabet other than GSM's, and each of several has 67"
