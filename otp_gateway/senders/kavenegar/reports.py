"""Kavenegar reports: the account, and the delivery status of messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

from otp_gateway.codes import Codes
from otp_gateway.errors import SmsUnconfirmed
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.kavenegar.api import Kavenegar, first_entry, number
from otp_gateway.senders.kavenegar.codes import state_words
from otp_gateway.settings import Settings

REPLY_SECONDS = 5.0


class KavenegarReports:
    """Calls with a deadline of five seconds. A method raises ``SendFailed`` if there is no usable reply."""

    def __init__(self, api: Kavenegar) -> None:
        self._api = api

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self | None:
        """The reports of the operator's account. None: messages do not go through Kavenegar."""
        key = settings.kavenegar_api_key
        if "kavenegar" not in settings.sms_backend or not key:
            return None
        return cls(Kavenegar(key, settings.kavenegar_base_url, observer))

    def account(self) -> dict[str, Any]:
        """``remaincredit`` in Rial, ``expiredate`` in seconds since 1970, ``type``."""
        with self._api.until(time.monotonic() + REPLY_SECONDS):
            return first_entry(self._api.account_info())

    def deliveries_of(self, send_ids: Sequence[str], codes: Codes) -> dict[str, str]:
        """The delivery status, in words, by send id."""
        references = {send_id: codes.reference(send_id) for send_id in send_ids}
        found = self.deliveries(list(references.values()))
        return {send_id: found[reference] for send_id, reference in references.items() if reference in found}

    def deliveries(self, references: Sequence[int]) -> dict[int, str]:
        """The delivery status, in words, of the messages with these localids. It makes one call for all."""
        with self._api.until(time.monotonic() + REPLY_SECONDS):
            entries = self._api.sms_statuslocalmessageid({"localid": ",".join(map(str, references))})
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SmsUnconfirmed("unreadable")
        states = {number(entry.get("localid")): number(entry.get("status")) for entry in entries}
        return {
            reference: state_words(states[reference], states[reference])
            for reference in references
            if reference in states
        }
