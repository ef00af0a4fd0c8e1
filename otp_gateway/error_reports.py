"""Error monitoring with Sentry's SDK, where it is configured: reports without anybody's data."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from otp_gateway.version import __version__

# Seconds that the end of the process waits for reports under way.
LAST_WAIT = 2.0
Report = Callable[..., None]


def ignore(error: BaseException, **tags: str | None) -> None:
    """No monitoring: nobody is told."""


def reporter(dsn: str | None) -> Report:
    """``report(error, **tags)``, which sends in the background and never raises."""
    if dsn is None:
        return ignore
    # Optional: requirements-sentry.txt has it. The settings have checked that it is there.
    import sentry_sdk  # noqa: PLC0415

    # A client of its own and no integration at all: those would add the request, its body and headers, the
    # command line, log lines and local variables. Lines of source may hold an operator's own constants.
    client = sentry_sdk.Client(
        dsn=dsn,
        release=f"otp-gateway@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        before_send=scrub,
    )
    atexit.register(client.close, timeout=LAST_WAIT)

    def report(error: BaseException, **tags: str | None) -> None:
        scope = sentry_sdk.Scope()
        scope.set_client(client)
        for name, value in tags.items():
            if value:
                scope.set_tag(name, value)
        # The SDK asks the current scope for the client, not the one that it is called on. And whatever an odd
        # error does while it is looked at, the request is to get its answer.
        with suppress(Exception), sentry_sdk.scope.use_scope(scope):
            scope.capture_exception(error)

    return report


def scrub(event: Any, hint: Any) -> Any:
    """The event without what an error's text may quote: its kind and its place in the code must do."""
    del hint
    for error in event.get("exception", {}).get("values", ()):
        error.pop("value", None)
    return event
