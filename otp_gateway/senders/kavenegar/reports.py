"""Kavenegar reports: the account, and the delivery status of messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

from otp_gateway.errors import SmsUnconfirmed
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.kavenegar.api import Kavenegar, first_entry, number
from otp_gateway.settings import Settings

REPLY_SECONDS = 5.0


class KavenegarReports:
    """Calls with a deadline. A method raises ``SendFailed`` if there is no usable reply."""

    def __init__(self, api: Kavenegar, *, by_message_id: bool = False) -> None:
        """``by_message_id``: messages are lookups, which have no localid."""
        self._api = api
        self._by_message_id = by_message_id

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self | None:
        """The reports of the operator's account. None: messages do not go through Kavenegar."""
        key = settings.kavenegar_api_key
        if "kavenegar" not in settings.sms_backend or not key:
            return None
        api = Kavenegar(key, settings.kavenegar_base_url, observer)
        return cls(api, by_message_id=settings.kavenegar_template is not None)

    def account(self) -> dict[str, Any]:
        """``remaincredit`` in Rial, ``expiredate`` in seconds since 1970, ``type``."""
        with self._api.until(time.monotonic() + REPLY_SECONDS):
            return first_entry(self._api.account_info())

    def number_of(self, reference: int, message_id: str) -> int | None:
        """The number by which ``states`` finds a send; None if Kavenegar has no report of it.

        A lookup has no localid, so it is found by the message id of its receipt.
        """
        if not self._by_message_id:
            return reference
        return int(message_id) if message_id else None

    def states(self, numbers: Sequence[int], seconds: float = REPLY_SECONDS) -> dict[int, int]:
        """The delivery states of the messages with these numbers; one call of at most ``seconds`` for all."""
        name = "messageid" if self._by_message_id else "localid"
        call = self._api.sms_status if self._by_message_id else self._api.sms_statuslocalmessageid
        with self._api.until(time.monotonic() + seconds):
            entries = call({name: ",".join(map(str, numbers))})
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SmsUnconfirmed("unreadable")
        found = {number(entry.get(name)): number(entry.get("status")) for entry in entries}
        return {each: state for each in numbers if (state := found.get(each)) is not None}
