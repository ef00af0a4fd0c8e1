"""Makes the service's events for the recorder: outcomes of sends, logins, phones without a try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from otp_gateway.codes import Codes, random_id
from otp_gateway.errors import (
    SKIPPED,
    Challenged,
    GatewayError,
    InvalidCode,
    Refused,
    SendFailed,
    SendingPaused,
    SmsBusy,
    SmsNotConfigured,
    StoreUnavailable,
    TooManyAttempts,
)
from otp_gateway.events import Lane, LoginEvent, SendEvent, StuckEvent
from otp_gateway.messages import Receipt
from otp_gateway.model import Caller, Issued, Login, PhoneNumber, SendRequest
from otp_gateway.phones import prefix_of
from otp_gateway.recorder import Recorder

# The limits of the device lane. If one of them refuses a send, the client is a device.
DEVICE_LIMITS = ("device", "device_failures")


class EventReporter:
    """Makes the events. A repeated request that gets an earlier outcome makes no event."""

    def __init__(self, recorder: Recorder, codes: Sequence[Codes]) -> None:
        """``codes``: one for the present secret, and one for each former secret."""
        self._recorder = recorder
        self._codes, *self._former = codes

    @contextmanager
    def refusals(self, send: SendRequest, caller: Caller) -> Iterator[None]:
        """Report a send that the block refuses before the provider is called."""
        try:
            yield
        except (Refused, Challenged, SendingPaused, SmsBusy, SmsNotConfigured, StoreUnavailable) as error:
            reason = _reason(error)
            lane = _lane(reason in DEVICE_LIMITS)
            self._send(send, caller, random_id(), lane, outcome="refused", reason=reason)
            raise
        except SendFailed as error:
            # Any other failure is one of a call, which reports it itself, or of an earlier request.
            if error.reason == SKIPPED:
                self._send(send, caller, random_id(), "common", outcome="failed", reason=SKIPPED)
            raise

    def sent(self, send: SendRequest, caller: Caller, issued: Issued, receipt: Receipt) -> None:
        """The provider has accepted the message."""
        self._send(
            send,
            caller,
            issued.send_id,
            _lane(issued.device),
            outcome="sent",
            backend=receipt.backend,
            cost=receipt.cost,
            message_id=receipt.message_id,
            attempts=receipt.attempts,
        )

    def failed(self, send: SendRequest, caller: Caller, issued: Issued, error: SendFailed) -> None:
        """The provider has not confirmed the message."""
        self._send(
            send,
            caller,
            issued.send_id,
            _lane(issued.device),
            outcome="failed" if error.definite else "unconfirmed",
            reason=error.label,
            backend=error.backend,
            message_id=error.message_id,
            attempts=error.attempts,
        )

    @contextmanager
    def stuck(self, phone: PhoneNumber, caller: Caller) -> Iterator[None]:
        """Report a phone that has no try left when the block refuses its code."""
        try:
            yield
        except TooManyAttempts:
            self._recorder.add(StuckEvent(**self._phone(phone, caller)))
            raise
        except InvalidCode as error:
            if error.attempts_remaining <= 0:
                self._recorder.add(StuckEvent(**self._phone(phone, caller)))
            raise

    def login(self, phone: PhoneNumber, caller: Caller, login: Login) -> None:
        """A code has opened the session."""
        lane = _lane(login.device)
        self._recorder.add(
            LoginEvent(id=login.session.id, lane=lane, earned=login.earned, **self._phone(phone, caller))
        )

    def _send(self, send: SendRequest, caller: Caller, id_: str, lane: Lane, **outcome: Any) -> None:
        self._recorder.add(
            SendEvent(id=id_, channel=send.channel, lane=lane, **outcome, **self._phone(send.phone, caller))
        )

    def _phone(self, phone: PhoneNumber, caller: Caller) -> dict[str, Any]:
        return {
            "pid": self._codes.pid(phone),
            "former_pids": tuple(codes.pid(phone) for codes in self._former),
            "masked": phone.masked,
            "prefix": prefix_of(phone),
            "client": caller.client,
            "at": caller.clock.now_ms(),
        }


def _reason(error: GatewayError) -> str:
    """The label of a refusal: the limit, which pause it was, or the error's code."""
    if isinstance(error, Refused):
        return error.limit
    return f"paused_{error.reason}" if isinstance(error, SendingPaused) else error.code


def _lane(device: bool) -> Lane:
    return "device" if device else "common"
