"""Parsers of the variables SMS_HTTP_*. No error repeats a text that may hold a key."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from urllib.parse import urlsplit

from marshmallow import ValidationError

from otp_gateway.settings.urls import base_url
from otp_gateway.sms_http import SentRule

SENT_RULE = re.compile(r"([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)=(.+)")
SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of Standard Webhooks, not a secret
SECRET_BYTES = range(24, 65)


def template_url(text: str) -> str:
    """An http(s) URL that may have placeholders."""
    try:
        parts = urlsplit(text)
        base_url(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, ValidationError):
        raise ValidationError("give an http:// or https:// URL") from None
    if parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValidationError("give a URL of printable ASCII, without blanks and without #")
    return text


def headers(text: str) -> dict[str, str]:
    """A JSON object of texts."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValidationError('give a JSON object of texts such as {"Authorization": "Bearer KEY"}')
    return found


def sent_rule(text: str) -> SentRule:
    """``2xx``, or ``member=value``."""
    if text == "2xx":
        return SentRule()
    found = SENT_RULE.fullmatch(text)
    if not found:
        raise ValidationError("use 2xx, or a member of the JSON reply and its value, such as status=1")
    return SentRule(tuple(found[1].split(".")), found[2])


def webhook_secret(text: str) -> bytes:
    """A secret of Standard Webhooks: ``whsec_`` and base64."""
    try:
        found = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        found = b""
    if not text.startswith(SECRET_PREFIX) or len(found) not in SECRET_BYTES:
        raise ValidationError(
            f"must be {SECRET_PREFIX} and base64 of 24 to 64 bytes; make one with: "
            'python -c "import base64, secrets; '
            "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
        )
    return found
