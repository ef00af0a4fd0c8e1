"""Watches the credit in the background. One worker at a time reads it, and warns if it is low."""

from __future__ import annotations

from otp_gateway.errors import SendFailed, StoreUnavailable
from otp_gateway.log import get_logger
from otp_gateway.store.provider_account import Account, ProviderAccountStore

LOW, SILENT = "low", "silent"
logger = get_logger("otp_gateway.credit")


class CreditWatch:
    """Reads the credit about once a minute, over all workers and hosts.

    It warns if the credit is below ``minimum`` (Rial), and if the provider does not report the credit. It
    logs each warning at most once an hour.
    """

    def __init__(self, account: ProviderAccountStore, minimum: int) -> None:
        self._account = account
        self._minimum = minimum

    def look(self) -> None:
        """If it is this worker's turn, read the credit, and warn if necessary."""
        try:
            account = self._account.refresh()
            if account is not None:
                self._judge(account)
        except SendFailed as error:
            self._warn_of_silence(error.label, error.fault)
        except StoreUnavailable:
            # The requests log that Redis is unavailable.
            return

    def _judge(self, account: Account) -> None:
        if account.credit is None:
            self._warn_of_silence("unreadable", "unknown")
        elif self._minimum and account.credit < self._minimum:
            self._account.clear_warnings(SILENT)
            # The digits are in groups of three, so that the number does not look like a code.
            self._warn(LOW, "SMS credit is low", credit=rial(account.credit), minimum=rial(self._minimum))
        else:
            self._account.clear_warnings(SILENT, LOW)

    def _warn_of_silence(self, reason: str, fault: str) -> None:
        self._warn(SILENT, "the SMS provider does not report its credit", reason=reason, fault=fault)

    def _warn(self, kind: str, event: str, **values: str) -> None:
        try:
            if self._account.take_warning(kind):
                logger.warning(event, **values)
        except StoreUnavailable:
            logger.warning(event, **values)


def rial(amount: int) -> str:
    """``1,500,000 Rial``."""
    return f"{amount:,} Rial"
