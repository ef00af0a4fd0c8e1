"""The price of a message, as the provider has charged it."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, ok
from otp_gateway.errors import StoreUnavailable
from otp_gateway.recorder import COST, PRICED
from otp_gateway.settings import Settings
from otp_gateway.store.usage import MONTH, UsageStore

KAVENEGAR = "kavenegar"


def look(settings: Settings, usage: UsageStore) -> Iterator[Finding]:
    """The average price of the recorded messages. The check ``message`` has the parts of each text.

    No API of Kavenegar has a price list: only the reply to a send has a price.
    """
    if settings.embedded or KAVENEGAR not in settings.sms_backend:
        return
    try:
        buckets = usage.read(MONTH)
    except StoreUnavailable:
        # The check of Redis reports that Redis is unavailable.
        return
    cost, messages = (sum(bucket.counts.get(name, 0) for bucket in buckets) for name in (COST, PRICED))
    if messages:
        yield ok(
            "cost",
            f"a text costs {cost / messages:,.0f} Rial on average: {messages:,} messages of the last "
            f"{MONTH.buckets} days cost {cost:,} Rial",
        )
    else:
        yield ok("cost", "the price of a text is not known yet: Kavenegar reports it with each send")
