"""The background thread of a worker that calls the SMS provider: for its credit and for deliveries."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from otp_gateway.log import get_logger

# Seconds between two turns of a worker, plus or minus a quarter. The stores let only one worker a minute call
# the provider.
LOOK_SECONDS = 20.0
logger = get_logger("otp_gateway.provider_watch")


class ProviderWatch:
    """Calls its functions again and again. A function that fails delays the others only by its duration."""

    def __init__(self, looks: Sequence[Callable[[], None]], report: Callable[[Exception], None]) -> None:
        """``report`` gets unexpected errors."""
        self._looks = looks
        self._report = report

    def start(self) -> None:
        """Start the thread, which ends with the process.

        Call this after a fork: threads do not survive one.
        """
        threading.Thread(target=self._run, name="provider", daemon=True).start()

    def look(self) -> None:
        """Call each function once."""
        for look in self._looks:
            try:
                look()
            except Exception as error:
                # A reply can contain anything. It must not end the thread.
                logger.exception("a look at the provider has failed")
                self._report(error)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.look()
            pause.wait(random.uniform(0.75, 1.25) * LOOK_SECONDS)  # noqa: S311  # no secret, only spread
