"""Codes by SMS or call through Kavenegar. Facts: https://kavenegar.com/rest.html."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from otp_gateway.errors import SendFailed, SmsFailed, SmsNotConfigured, SmsUnconfirmed
from otp_gateway.model import Channel, PhoneNumber
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.kavenegar.api import Kavenegar, first_entry, number
from otp_gateway.senders.kavenegar.codes import outcome
from otp_gateway.senders.message import compose
from otp_gateway.settings import Settings

# The share of SMS_TIMEOUT that the first attempt of a repeatable send may use.
FIRST_SHARE = 0.75
IRAN = "+98"


class KavenegarSender:
    """Sends by ``verify/lookup`` if a template is set, by ``sms/send`` otherwise."""

    def __init__(
        self,
        api: Kavenegar | None,
        *,
        message: str,
        sender: str = "",
        template: str | None = None,
        web_domain: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """``sender``: the number that sends, empty for the account's default; ``timeout``: seconds."""
        self._api = api
        self._message = message
        self._sender = sender
        self._template = template
        self._web_domain = web_domain
        self._timeout = timeout
        self._cost = 0
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender of the operator's account; unconfigured without a key."""
        key = settings.kavenegar_api_key
        return cls(
            Kavenegar(key, settings.kavenegar_base_url, observer) if key else None,
            message=settings.otp_message,
            sender=settings.kavenegar_sender,
            template=settings.kavenegar_template,
            web_domain=settings.otp_web_domain,
            timeout=settings.sms_timeout,
        )

    def take_cost(self) -> int:
        """What the messages since the last call have cost, in Rial."""
        with self._lock:
            cost, self._cost = self._cost, 0
        return cost

    @property
    def configured(self) -> bool:
        """Whether there is an API key."""
        return self._api is not None

    def send(self, phone: PhoneNumber, code: str, channel: Channel, reference: int) -> None:
        """Deliver the code; see ``Sender``."""
        if self._api is None:
            raise SmsNotConfigured
        deadline = time.monotonic() + self._timeout
        if self._template is not None:
            self._lookup(self._api, phone, code, channel, deadline)
        else:
            self._sms(self._api, phone, code, reference, deadline)

    def _lookup(
        self, api: Kavenegar, phone: PhoneNumber, code: str, channel: Channel, deadline: float
    ) -> None:
        form = {
            "receptor": _receptor(phone),
            "token": code,
            "template": self._template,
            "type": channel,
        }
        try:
            with api.until(deadline):
                self._confirm(api, "verify/lookup", api.verify_lookup(form), phone)
        except SmsFailed as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
            # A lookup cannot be de-duplicated, so it is repeated only if the connection failed.
            with api.until(deadline):
                self._confirm(api, "verify/lookup", api.verify_lookup(form), phone)

    def _sms(self, api: Kavenegar, phone: PhoneNumber, code: str, reference: int, deadline: float) -> None:
        form = {
            "receptor": _receptor(phone),
            "message": compose(self._message, code, self._web_domain),
            "localid": reference,
        }
        if self._sender:
            form["sender"] = self._sender
        first = deadline - self._timeout * (1 - FIRST_SHARE)
        try:
            with api.until(first):
                self._confirm(api, "sms/send", api.sms_send(form), phone)
        except SendFailed as error:
            if not _worth_repeating(error):
                raise
            # The localid makes the repeat safe: Kavenegar returns its record of the first attempt, if any.
            try:
                with api.until(deadline):
                    self._confirm(api, "sms/send", api.sms_send(form), phone)
            except SmsFailed as second:
                # A refused repeat does not mean a refused first attempt, except if the record says so.
                if error.definite or second.reason == "entry":
                    raise
                raise error from None

    def _confirm(self, api: Kavenegar, call: str, entries: Any, phone: PhoneNumber) -> None:
        with api.watched(call):
            # Only sms/send knows a localid.
            entry = _confirmed(entries, phone, deduplicated=call == "sms/send")
        with self._lock:
            self._cost += max(0, number(entry.get("cost")) or 0)


def _worth_repeating(error: SendFailed) -> bool:
    if error.definite:
        return error.reason == "unreachable"
    return error.provider_code is None or error.provider_code >= 500


def _receptor(phone: PhoneNumber) -> str:
    """The number in Kavenegar's documented formats: 09… in Iran, 00 and the country code elsewhere."""
    if phone.e164.startswith(IRAN):
        return f"0{phone.e164.removeprefix(IRAN)}"
    return f"00{phone.e164[1:]}"


def _confirmed(entries: Any, phone: PhoneNumber, *, deduplicated: bool) -> dict[str, Any]:
    """The entry, if its state says that the message to this phone is sent. Raises otherwise.

    ``deduplicated``: the call has a localid. Then a record of another phone means that our message was not
    sent.
    """
    entry = first_entry(entries)
    if not _names(entry.get("receptor"), phone):
        raise SmsFailed("localid_taken") if deduplicated else SmsUnconfirmed("receptor")
    status = number(entry.get("status"))
    found = outcome(status)
    if found == "not sent":
        raise SmsFailed("entry", provider_code=status)
    if found == "uncertain":
        raise SmsUnconfirmed("entry", provider_code=status)
    return entry


def _names(receptor: Any, phone: PhoneNumber) -> bool:
    """Whether the receptor is the phone, in one of Kavenegar's formats. A missing receptor is accepted."""
    digits = "".join(c for c in str(receptor or "") if c.isdigit()).lstrip("0")
    return digits in ("", phone.e164[1:], phone.e164.removeprefix(IRAN))
