"""Whether one client network makes most of the requests. Then it is a proxy or a backend, not a user."""

from __future__ import annotations

from collections.abc import Iterator

from otp_gateway.checks.finding import Finding, ok, warning
from otp_gateway.errors import StoreUnavailable
from otp_gateway.settings import Settings
from otp_gateway.store.usage import DAY, UsageStore

# If there are fewer sends and logins, a single user who tries the site can have made most of them.
FEWEST = 20
LARGE_SHARE = 0.5


def look(settings: Settings, usage: UsageStore) -> Iterator[Finding]:
    """Compare the sends of the largest network with all sends. The recorder has counted both."""
    if settings.embedded:
        return
    try:
        tallies = usage.tallies("network", DAY)
    except StoreUnavailable as error:
        yield warning("networks", f"not checked: Redis does not answer ({error.reason})")
        return
    made = [tally.sends + tally.logins for tally in tallies.top]
    number = sum(made) + tallies.rest.sends + tallies.rest.logins
    if number < FEWEST:
        yield ok("networks", f"only {number} sends and logins within a day: too few to compare networks")
    elif made[0] > LARGE_SHARE * number:
        yield warning(
            "networks",
            f"one network made {made[0] / number:.0%} of {number} sends and logins within a day "
            f"(client {tallies.top[0].name} in the log): if it is a proxy, set TRUSTED_PROXIES; if it is "
            "your backend, let it pass on the addresses of its users (OPERATIONS.md)",
        )
    else:
        yield ok("networks", f"no network made more than half of {number} sends and logins within a day")
