"""The backends that ``SMS_BACKEND`` can name, with facts that settings, senders and checks need.

A new backend needs an entry here, its sender in ``otp_gateway.senders.BACKENDS`` and a new ``.env.example``,
which is made from the settings. The checklist says that its provider is not checked, until
``otp_gateway.checks`` checks it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDelivery:
    """Texts about a backend that delivers no messages. Each text continues ``SMS_BACKEND=name``.

    ``at_start``: the warning when a production gateway starts. ``in_check``: the fault in the checklist.
    """

    at_start: str
    in_check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsBackend:
    """Facts about a backend.

    ``required``: the variables without which it can send no message. ``stored_text``: the variable that names
    a text at the provider; if it is set, OTP_MESSAGE does not apply. ``calls_with``: the variable without
    which it cannot call a phone; None if it never can.
    """

    required: tuple[str, ...] = ()
    stored_text: str | None = None
    calls_with: str | None = None
    no_delivery: NoDelivery | None = None

    @property
    def delivers(self) -> bool:
        """Whether its messages reach phones."""
        return self.no_delivery is None


SMS_BACKENDS: dict[str, SmsBackend] = {
    "kavenegar": SmsBackend(
        required=("KAVENEGAR_API_KEY",), stored_text="KAVENEGAR_TEMPLATE", calls_with="KAVENEGAR_TEMPLATE"
    ),
    "http": SmsBackend(required=("SMS_HTTP_URL",)),
    "console": SmsBackend(
        no_delivery=NoDelivery(
            at_start="prints codes to the log instead of sending them",
            in_check="prints codes instead of sending them: unset it in production",
        )
    ),
}
