"""Events, as the service reports them."""

from __future__ import annotations

import time
from typing import Any

from otp_gateway.events import LoginEvent, SendEvent
from otp_gateway.model import PhoneNumber
from otp_gateway.phones import prefix_of

PHONE = "+989123456789"
# In milliseconds; some minutes ago, so that events may follow it.
NOW = int(1000 * time.time()) - 600_000


def a_phone(e164: str = PHONE) -> dict[str, Any]:
    """The fields of an event that name its phone."""
    phone = PhoneNumber(e164)
    return {"pid": f"pid-of-{e164[1:]:0>15}", "masked": phone.masked, "prefix": prefix_of(phone)}


def a_send(id_: str, e164: str = PHONE, **fields: Any) -> SendEvent:
    """A message that the provider has accepted, unless ``fields`` have other values."""
    given: dict[str, Any] = {"client": "network-0001", "at": NOW, "channel": "sms", "outcome": "sent"}
    return SendEvent(id=id_, **a_phone(e164) | given | fields)


def a_login(id_: str, e164: str = PHONE, **fields: Any) -> LoginEvent:
    """A login."""
    return LoginEvent(id=id_, **a_phone(e164) | {"client": "network-0001", "at": NOW} | fields)
