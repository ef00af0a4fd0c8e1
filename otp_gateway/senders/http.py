"""Sends codes through a provider's HTTP interface, which the templates of SMS_HTTP_* describe."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from typing import Any, Self

from otp_gateway.errors import SendFailed, SmsFailed, SmsNotConfigured, SmsUnconfirmed
from otp_gateway.messages import Message, Receipt
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.phones import national_digits
from otp_gateway.senders.exchange import Exchanger, HttpRequest
from otp_gateway.senders.message import Texts
from otp_gateway.settings import Settings
from otp_gateway.sms_http import Filled, HttpTemplate, SentRule

NAME = "http"
# Statuses that mean a wrong key or a wrong URL, and statuses that mean a busy provider.
WRONG_SETTINGS = frozenset({401, 403, 404, 405})
TEMPORARY = frozenset({408, 425, 429})


class HttpSender:
    """Makes one request for each message, and repeats none: no rule of the interface makes a repeat safe."""

    def __init__(
        self,
        template: HttpTemplate | None,
        *,
        texts: Texts,
        sent: SentRule,
        secret: bytes | None = None,
        observer: Observer = UNOBSERVED,
    ) -> None:
        """``secret`` signs each request as Standard Webhooks do."""
        self._template = template
        self._texts = texts
        self._sent = sent
        self._secret = secret
        self._observer = observer
        self._exchanger = Exchanger(template.url.partition("{")[0]) if template else None

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender of the operator's provider; unconfigured without SMS_HTTP_URL."""
        return cls(
            settings.http_template,
            texts=Texts.from_settings(settings),
            sent=settings.sms_http_sent,
            secret=settings.sms_http_secret,
            observer=observer,
        )

    @property
    def configured(self) -> bool:
        """Whether there is a URL."""
        return self._template is not None

    def send(self, message: Message, deadline: float) -> Receipt:
        """Deliver the code; see ``Sender``."""
        if self._template is None or self._exchanger is None:
            raise SmsNotConfigured
        if message.channel == "call" and not self._template.names_channel:
            raise SmsFailed("no_calls", fault="configuration")
        filled = self._template.fill(self._values(message))
        headers = {**filled.headers, **self._signature(filled, message)}
        request = HttpRequest(self._template.method, filled.path, filled.body, headers)
        began = time.monotonic()
        try:
            status, body = self._exchanger.send(request, deadline)
            self._confirm(status, body)
        except SendFailed as error:
            error.backend = NAME
            self._observer.provider_error(NAME, error)
            raise
        finally:
            self._observer.provider_call(NAME, time.monotonic() - began)
        return Receipt(NAME)

    def _values(self, message: Message) -> dict[str, str]:
        return {
            "phone": message.phone.e164,
            "phone_local": national_digits(message.phone),
            "code": message.code,
            "message": self._texts.of(message),
            "channel": message.channel,
            "reference": str(message.reference),
        }

    def _signature(self, filled: Filled, message: Message) -> dict[str, str]:
        """The three headers of Standard Webhooks; the same id for a repeat of the same send."""
        if self._secret is None:
            return {}
        event, moment = f"msg_{message.reference}", str(int(time.time()))
        signed = b".".join((event.encode(), moment.encode(), filled.body or b""))
        mac = b64encode(hmac.digest(self._secret, signed, "sha256")).decode()
        return {"webhook-id": event, "webhook-timestamp": moment, "webhook-signature": f"v1,{mac}"}

    def _confirm(self, status: int, body: bytes) -> None:
        """Return if the reply shows that the message is sent. Raises otherwise."""
        if not self._sent.member:
            if 200 <= status < 300:
                return
        else:
            found = self._sent.read(_parse(body))
            if found == self._sent.value:
                return
            if found is not None:
                raise SmsFailed("refused", fault=_fault(status), provider_code=_code(found))
        if 400 <= status < 500:
            raise SmsFailed("refused", fault=_fault(status), provider_code=status)
        raise SmsUnconfirmed("unreadable", fault="temporary" if status >= 500 else "unknown")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _fault(status: int) -> str:
    if status in WRONG_SETTINGS:
        return "configuration"
    return "temporary" if status in TEMPORARY else "unknown"


def _code(value: str) -> int | None:
    """The provider's code, if it is a short number. The metrics count it."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 3 else None
