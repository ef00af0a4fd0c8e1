"""The background thread of a worker that calls the SMS provider: for its credit and for deliveries."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from otp_gateway.log import get_logger

# Seconds between two looks of a worker, plus or minus a quarter: some in each minute. The stores let one of
# all workers' looks in a minute call the provider.
LOOK_SECONDS = 20.0
logger = get_logger("otp_gateway.provider_watch")


class ProviderWatch:
    """Repeats its looks. A look that fails delays no other one, except by the time that it takes."""

    def __init__(self, looks: Sequence[Callable[[], None]], report: Callable[[Exception], None]) -> None:
        """``report`` gets unexpected errors."""
        self._looks = looks
        self._report = report

    def start(self) -> None:
        """Look from now on, in a thread that ends with the process. Call it after a fork, not before."""
        threading.Thread(target=self._run, name="provider", daemon=True).start()

    def look(self) -> None:
        """Make each look once."""
        for look in self._looks:
            try:
                look()
            except Exception as error:
                # A reply can hold anything. The thread must not end.
                logger.exception("a look at the provider has failed")
                self._report(error)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.look()
            pause.wait(random.uniform(0.75, 1.25) * LOOK_SECONDS)  # noqa: S311  # no secret, only spread
