"""Watches the account's credit in the background: one worker at a time asks, and warns when it runs low."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from otp_gateway.errors import SendFailed, StoreUnavailable
from otp_gateway.log import get_logger
from otp_gateway.store.provider_account import Account, ProviderAccountStore

# Seconds between two looks of a worker, give or take a quarter; the store lets one of them a minute ask.
LOOK_SECONDS = 20.0
LOW, SILENT = "low", "silent"
logger = get_logger("otp_gateway.credit")


class CreditWatch:
    """Reads the credit about once a minute, over all workers and hosts.

    It warns at most once an hour of credit below ``minimum`` (Rial), and of a provider that does not tell.
    """

    def __init__(
        self, account: ProviderAccountStore, minimum: int, report: Callable[[Exception], None]
    ) -> None:
        """``report`` is told of what nobody expected."""
        self._account = account
        self._minimum = minimum
        self._report = report

    def start(self) -> None:
        """Watch from now on, in a thread that ends with the process. Call it after a fork, not before."""
        threading.Thread(target=self._run, name="credit", daemon=True).start()

    def look(self) -> None:
        """Ask where it is this worker's turn, and warn where there is reason to."""
        try:
            account = self._account.refresh()
            if account is not None:
                self._judge(account)
        except SendFailed as error:
            self._warn_of_silence(error.label, error.fault)
        except StoreUnavailable:
            # Requests tell of that, and loudly.
            return

    def _judge(self, account: Account) -> None:
        if account.credit is None:
            self._warn_of_silence("unreadable", "unknown")
        elif self._minimum and account.credit < self._minimum:
            self._account.clear_warnings(SILENT)
            # In groups of three digits, which nobody takes for a code.
            self._warn(LOW, "SMS credit is low", credit=rial(account.credit), minimum=rial(self._minimum))
        else:
            self._account.clear_warnings(SILENT, LOW)

    def _warn_of_silence(self, reason: str, fault: str) -> None:
        self._warn(SILENT, "the SMS provider does not tell its credit", reason=reason, fault=fault)

    def _warn(self, kind: str, event: str, **values: str) -> None:
        try:
            if self._account.take_warning(kind):
                logger.warning(event, **values)
        except StoreUnavailable:
            logger.warning(event, **values)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self.look()
            except Exception as error:
                # Whatever a reply holds, the watch must outlive it.
                logger.exception("the credit watch stumbled")
                self._report(error)
            pause.wait(random.uniform(0.75, 1.25) * LOOK_SECONDS)  # noqa: S311  # no secret, only spread


def rial(amount: int) -> str:
    """``1,500,000 Rial``."""
    return f"{amount:,} Rial"
