"""Questions to Kavenegar that are no sends: the account, and what became of a message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

from otp_gateway.codes import Codes
from otp_gateway.errors import SmsUnconfirmed
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.senders.kavenegar.api import Kavenegar, first_entry, number
from otp_gateway.settings import Settings

ANSWER_SECONDS = 5.0
# KAVENEGAR's delivery states, in the support staff's words.
DELIVERY = {
    1: "Queued",
    2: "Queued",
    4: "Handed to the carrier",
    5: "Handed to the carrier",
    6: "Failed",
    10: "Delivered",
    11: "Not delivered: the phone was off or out of reach",
    13: "Cancelled",
    14: "Blocked: the subscriber refuses such messages",
    100: "Not known to the provider, or too old",
}
# What an operator can do about the provider's codes, by code.
ADVICE = {
    401: "the account is not active: activate it in Kavenegar's panel",
    403: "KAVENEGAR_API_KEY is not known there: copy it from Kavenegar's panel",
    407: "the key may not do this: look at the account's rights and at the addresses it allows",
    409: "it is overloaded: try again",
    411: "it takes no such number",
    412: "KAVENEGAR_SENDER is no line of this account",
    416: "this machine's address is not among those that the key allows",
    418: "the credit is spent: top it up",
    424: "KAVENEGAR_TEMPLATE does not exist, or is not approved yet",
    426: "the account's plan lacks this service",
    427: "the line may not be used so: look at its rights in Kavenegar's panel",
    430: "the account is not verified",
    432: "the template has no place for the code: its text must hold %token%",
    451: "too many calls at once: try again",
    501: "a test account reaches its owner's phone alone",
}


class KavenegarReports:
    """Asks within five seconds; every method raises ``SendFailed`` where no answer comes."""

    def __init__(self, api: Kavenegar) -> None:
        self._api = api

    @classmethod
    def from_settings(cls, settings: Settings, observer: Observer = UNOBSERVED) -> Self | None:
        """The reports of the operator's account; None where messages do not go through Kavenegar."""
        key = settings.kavenegar_api_key
        if settings.sms_backend != "kavenegar" or not key:
            return None
        return cls(Kavenegar(key, settings.kavenegar_base_url, observer))

    def account(self) -> dict[str, Any]:
        """``remaincredit`` in Rial, ``expiredate`` in seconds since 1970, ``type``."""
        with self._api.until(time.monotonic() + ANSWER_SECONDS):
            return first_entry(self._api.account_info())

    def deliveries_of(self, requests: Sequence[str], codes: Codes) -> dict[str, str]:
        """The same by the request ids of the sends."""
        references = {request: codes.reference(request) for request in requests}
        found = self.deliveries(list(references.values()))
        return {request: found[reference] for request, reference in references.items() if reference in found}

    def deliveries(self, references: Sequence[int]) -> dict[int, str]:
        """What became of the messages that were sent with these localids, in words; one question for all."""
        with self._api.until(time.monotonic() + ANSWER_SECONDS):
            entries = self._api.sms_statuslocalmessageid({"localid": ",".join(map(str, references))})
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SmsUnconfirmed("unreadable")
        states = {number(entry.get("localid")): number(entry.get("status")) for entry in entries}
        return {
            reference: DELIVERY.get(states[reference] or 0, f"State {states[reference]}")
            for reference in references
            if reference in states
        }
