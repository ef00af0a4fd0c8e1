"""Sends codes by SMS or call through Kavenegar. Facts: https://kavenegar.com/rest.html."""

from __future__ import annotations

import re
import time
from typing import Any, Self

from otp_gateway.errors import SendFailed, SmsFailed, SmsNotConfigured, SmsUnconfirmed
from otp_gateway.messages import Message, Receipt
from otp_gateway.model import PhoneNumber
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.kavenegar.api import Kavenegar, first_entry, number
from otp_gateway.senders.kavenegar.codes import outcome
from otp_gateway.senders.message import Texts
from otp_gateway.settings import Settings

# The share of its time that the first attempt of a repeatable send may use.
FIRST_SHARE = 0.75
IRAN = "+98"
NAME = "kavenegar"
MESSAGE_ID = re.compile(r"[0-9]{1,20}")


class KavenegarSender:
    """Sends by ``verify/lookup`` if a template is set, and otherwise by ``sms/send``."""

    def __init__(
        self,
        api: Kavenegar | None,
        *,
        texts: Texts,
        sender: str = "",
        template: str | None = None,
    ) -> None:
        """``sender``: the number that sends. If it is empty, the account's default number sends."""
        self._api = api
        self._texts = texts
        self._sender = sender
        self._template = template

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender of the operator's account; unconfigured without a key."""
        key = settings.kavenegar_api_key
        return cls(
            Kavenegar(key, settings.kavenegar_base_url, observer) if key else None,
            texts=Texts.from_settings(settings),
            sender=settings.kavenegar_sender,
            template=settings.kavenegar_template,
        )

    @property
    def configured(self) -> bool:
        """Whether there is an API key."""
        return self._api is not None

    def send(self, message: Message, deadline: float) -> Receipt:
        """Deliver the code; see ``Sender``."""
        if self._api is None:
            raise SmsNotConfigured
        try:
            if self._template is not None:
                return self._lookup(self._api, message, deadline)
            return self._sms(self._api, message, deadline)
        except SendFailed as error:
            error.backend = NAME
            raise

    def _lookup(self, api: Kavenegar, message: Message, deadline: float) -> Receipt:
        phone = message.phone
        form = {
            "receptor": _receptor(phone),
            "token": message.code,
            "template": self._template,
            "type": message.channel,
        }
        try:
            with api.until(deadline):
                return self._confirm(api, "verify/lookup", api.verify_lookup(form), phone)
        except SmsFailed as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
            # Kavenegar cannot recognise a repeated lookup. So a lookup is repeated only if the connection
            # failed.
            with api.until(deadline):
                return self._confirm(api, "verify/lookup", api.verify_lookup(form), phone)

    def _sms(self, api: Kavenegar, message: Message, deadline: float) -> Receipt:
        phone = message.phone
        form = {
            "receptor": _receptor(phone),
            "message": self._texts.of(message),
            "localid": message.reference,
        }
        if self._sender:
            form["sender"] = self._sender
        first = deadline - (deadline - time.monotonic()) * (1 - FIRST_SHARE)
        try:
            with api.until(first):
                return self._confirm(api, "sms/send", api.sms_send(form), phone)
        except SendFailed as error:
            if not _worth_repeating(error):
                raise
            # The localid makes the repeat safe: Kavenegar returns its record of the first attempt, if any.
            try:
                with api.until(deadline):
                    return self._confirm(api, "sms/send", api.sms_send(form), phone)
            except SmsFailed as second:
                # If Kavenegar refuses the repeat, it may still have accepted the first attempt, unless the
                # record says that it did not.
                if error.definite or second.reason == "entry":
                    raise
                raise error from None

    def _confirm(self, api: Kavenegar, call: str, entries: Any, phone: PhoneNumber) -> Receipt:
        with api.watched(call):
            # Only sms/send has a localid.
            entry = _confirmed(entries, phone, deduplicated=call == "sms/send")
        return Receipt(NAME, cost=max(0, number(entry.get("cost")) or 0), message_id=_message_id(entry))


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
    """The entry, if its state shows that the message to this phone was sent. Otherwise, this raises an error.

    ``deduplicated``: the call has a localid. In this case, a record of another phone means that our message
    was not sent.
    """
    entry = first_entry(entries)
    if not _names(entry.get("receptor"), phone):
        raise SmsFailed("localid_taken") if deduplicated else SmsUnconfirmed("receptor")
    status = number(entry.get("status"))
    found = outcome(status)
    if found == "sent":
        return entry
    kind = SmsFailed if found == "not sent" else SmsUnconfirmed
    error = kind("entry", provider_code=status)
    error.message_id = _message_id(entry)
    raise error


def _message_id(entry: dict[str, Any]) -> str:
    message = str(entry.get("messageid", ""))
    return message if MESSAGE_ID.fullmatch(message) else ""


def _names(receptor: Any, phone: PhoneNumber) -> bool:
    """Whether the receptor is the phone, in one of Kavenegar's formats. A missing receptor is accepted."""
    digits = "".join(c for c in str(receptor or "") if c.isdigit()).lstrip("0")
    return digits in ("", phone.e164[1:], phone.e164.removeprefix(IRAN))
