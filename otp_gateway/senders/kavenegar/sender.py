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

# Of SMS_TIMEOUT, what the first attempt of a repeatable send may use.
FIRST_SHARE = 0.75
IRAN = "+98"


class KavenegarSender:
    """``verify/lookup`` where a template is set, ``sms/send`` otherwise."""

    def __init__(
        self,
        api: Kavenegar | None,
        *,
        message: str,
        line: str = "",
        template: str | None = None,
        web_domain: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """``line``: the sender's number, empty for the account's own; ``timeout``: seconds, for all."""
        self._api = api
        self._message = message
        self._line = line
        self._template = template
        self._web_domain = web_domain
        self._timeout = timeout
        self._spent = 0
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self:
        """The sender of the operator's account; unconfigured without a key."""
        key = settings.kavenegar_api_key
        return cls(
            Kavenegar(key, settings.kavenegar_base_url, observer) if key else None,
            message=settings.otp_message,
            line=settings.kavenegar_sender,
            template=settings.kavenegar_template,
            web_domain=settings.otp_web_domain,
            timeout=settings.sms_timeout,
        )

    def take_cost(self) -> int:
        """What the messages since the last call have cost, in Rial."""
        with self._lock:
            spent, self._spent = self._spent, 0
        return spent

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
                self._settle(api, "verify/lookup", api.verify_lookup(form), phone)
        except SmsFailed as error:
            if error.reason != "unreachable" or time.monotonic() >= deadline:
                raise
            # Only a connection that never stood is safe to repeat: a lookup cannot be de-duplicated.
            with api.until(deadline):
                self._settle(api, "verify/lookup", api.verify_lookup(form), phone)

    def _sms(self, api: Kavenegar, phone: PhoneNumber, code: str, reference: int, deadline: float) -> None:
        form = {
            "receptor": _receptor(phone),
            "message": compose(self._message, code, self._web_domain),
            "localid": reference,
        }
        if self._line:
            form["sender"] = self._line
        first = deadline - self._timeout * (1 - FIRST_SHARE)
        try:
            with api.until(first):
                self._settle(api, "sms/send", api.sms_send(form), phone)
        except SendFailed as error:
            if not _worth_repeating(error):
                raise
            # The localid makes the repeat safe: Kavenegar answers it with the first record, if there is one.
            try:
                with api.until(deadline):
                    self._settle(api, "sms/send", api.sms_send(form), phone)
            except SmsFailed as second:
                # A refusal of the repeat says nothing of the first, unless it is the record's own state.
                if error.definite or second.reason == "entry":
                    raise
                raise error from None

    def _settle(self, api: Kavenegar, call: str, entries: Any, phone: PhoneNumber) -> None:
        with api.watched(call):
            # Only sms/send knows a localid.
            entry = _confirm(entries, phone, deduplicated=call == "sms/send")
        with self._lock:
            self._spent += max(0, number(entry.get("cost")) or 0)


def _worth_repeating(error: SendFailed) -> bool:
    if error.definite:
        return error.reason == "unreachable"
    return error.provider_code is None or error.provider_code >= 500


def _receptor(phone: PhoneNumber) -> str:
    """Kavenegar's documented spellings: 09… in Iran, 00 and the country code elsewhere."""
    if phone.e164.startswith(IRAN):
        return f"0{phone.e164.removeprefix(IRAN)}"
    return f"00{phone.e164[1:]}"


def _confirm(entries: Any, phone: PhoneNumber, *, deduplicated: bool) -> dict[str, Any]:
    """The entry; raises unless it says that this phone's message is on its way.

    ``deduplicated``: a record of another phone under our localid means that nothing was sent.
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
    """Whether the receptor is the phone in one of Kavenegar's spellings; one that is missing may be."""
    digits = "".join(c for c in str(receptor or "") if c.isdigit()).lstrip("0")
    return digits in ("", phone.e164[1:], phone.e164.removeprefix(IRAN))
