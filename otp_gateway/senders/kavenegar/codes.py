"""Kavenegar's numbers: one table of result codes, and one table of delivery states.

Facts: https://kavenegar.com/rest.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed

Fault = Literal["caller", "configuration", "bug", "temporary", "unknown"]
Outcome = Literal["sent", "not sent", "uncertain"]

OTHER_ADVICE = "see its list of codes"


@dataclass(frozen=True, slots=True)
class ResultCode:
    """The meaning of a result code.

    ``fault``: where the fault is. ``definite``: whether the message was definitely not sent. ``advice``: what
    an operator can do.
    """

    fault: Fault
    definite: bool
    advice: str = OTHER_ADVICE


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """The meaning of a delivery state: in the words of the support staff, as the outcome of a send, and as a
    label of the metrics.
    """

    label: str
    words: str
    outcome: Outcome


# code: fault, definite, advice
RESULT_CODES = {
    400: ResultCode("bug", True),
    401: ResultCode("configuration", True, "the account is not active: activate it in Kavenegar's panel"),
    402: ResultCode("unknown", False),
    403: ResultCode(
        "configuration", True, "KAVENEGAR_API_KEY is not known there: copy it from Kavenegar's panel"
    ),
    404: ResultCode("bug", True),
    405: ResultCode("bug", True),
    406: ResultCode("bug", True),
    407: ResultCode(
        "configuration",
        True,
        "the key may not do this: look at the account's rights and at the addresses it allows",
    ),
    409: ResultCode("temporary", True, "it is overloaded: try again"),
    411: ResultCode("caller", True, "it does not accept this number"),
    412: ResultCode("configuration", True, "KAVENEGAR_SENDER is no line of this account"),
    413: ResultCode("bug", True),
    414: ResultCode("bug", True),
    415: ResultCode("bug", True),
    416: ResultCode("configuration", True, "this machine's address is not among those that the key allows"),
    417: ResultCode("bug", True),
    418: ResultCode("configuration", True, "the credit is used up: top it up"),
    419: ResultCode("bug", True),
    420: ResultCode("configuration", True),
    422: ResultCode("bug", True),
    424: ResultCode("configuration", True, "KAVENEGAR_TEMPLATE does not exist, or is not approved yet"),
    426: ResultCode("configuration", True, "the account's plan lacks this service"),
    427: ResultCode(
        "configuration", True, "the line may not be used so: look at its rights in Kavenegar's panel"
    ),
    428: ResultCode("bug", True),
    429: ResultCode("temporary", True),
    430: ResultCode("configuration", True, "the account is not verified"),
    431: ResultCode("bug", True),
    432: ResultCode(
        "configuration", True, "the template has no place for the code: its text must hold %token%"
    ),
    451: ResultCode("temporary", True, "too many calls at once: try again"),
    501: ResultCode("configuration", True, "a test account can send only to its owner's phone"),
    607: ResultCode("configuration", True),
}
# Codes that the table does not list: the message may have been sent.
SERVER_ERROR = ResultCode("temporary", False)  # 500 to 599
UNLISTED = ResultCode("unknown", False)

# state: label, words, outcome
DELIVERY_STATES = {
    1: DeliveryState("queued", "Queued", "sent"),
    2: DeliveryState("queued", "Queued", "sent"),
    4: DeliveryState("carrier", "Handed to the carrier", "sent"),
    5: DeliveryState("carrier", "Handed to the carrier", "sent"),
    6: DeliveryState("failed", "Failed", "not sent"),
    10: DeliveryState("delivered", "Delivered", "sent"),
    11: DeliveryState("undelivered", "Not delivered: the phone was off or out of reach", "uncertain"),
    13: DeliveryState("cancelled", "Cancelled", "uncertain"),
    14: DeliveryState("blocked", "Blocked: the subscriber refuses such messages", "not sent"),
    100: DeliveryState("unknown", "Not known to the provider, or too old", "uncertain"),
}


def result_code(code: int) -> ResultCode:
    """The meaning of a result code. It also accepts a code that the table does not list."""
    return RESULT_CODES.get(code, SERVER_ERROR if 500 <= code <= 599 else UNLISTED)


def refusal(code: int) -> SendFailed:
    """The error for a result code other than 200."""
    row = result_code(code)
    kind = SmsFailed if row.definite else SmsUnconfirmed
    return kind("refused", fault=row.fault, provider_code=code)


def outcome(state: int | None) -> Outcome:
    """The outcome of a send that Kavenegar answered with this delivery state."""
    row = DELIVERY_STATES.get(state or 0)
    return row.outcome if row else "uncertain"


def state_words(state: int | None, label: object) -> str:
    """The words for a delivery state; ``label`` names a state that the table does not list."""
    row = DELIVERY_STATES.get(state or 0)
    return row.words if row else f"State {label}"


def state_label(state: int) -> str:
    """The metrics' label for a delivery state; ``other`` for a state that the table does not list."""
    row = DELIVERY_STATES.get(state)
    return row.label if row else "other"
