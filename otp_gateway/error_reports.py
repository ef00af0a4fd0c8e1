"""Error monitoring with Sentry's SDK, if it is configured. A report contains no personal data."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from otp_gateway.version import __version__

# Seconds for which a process that ends waits until its reports are sent.
LAST_WAIT = 2.0
Report = Callable[..., None]


def ignore(error: BaseException, **tags: str | None) -> None:
    """Used if there is no monitoring: this drops the error."""


def reporter(dsn: str | None) -> Report:
    """Make ``report(error, **tags)``. It sends in the background, and never raises an error."""
    if dsn is None:
        return ignore
    # The package is optional (requirements-sentry.txt). The settings have checked that it is installed.
    import sentry_sdk  # noqa: PLC0415

    # This is a separate client without integrations. Integrations would add the request, its body and
    # headers, the command line, log lines and local variables. Source lines are off: they can hold an
    # operator's own constants.
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
        # The SDK takes the client from the current scope, and not from the scope on which it is called. All
        # errors are suppressed: an unusual exception can fail while the SDK reads it, and the request must
        # still get its reply.
        with suppress(Exception), sentry_sdk.scope.use_scope(scope):
            scope.capture_exception(error)

    return report


def scrub(event: Any, hint: Any) -> Any:
    """Remove the error's text from the event, because it can quote anything. Its kind and its place stay."""
    del hint
    for error in event.get("exception", {}).get("values", ()):
        error.pop("value", None)
    return event
