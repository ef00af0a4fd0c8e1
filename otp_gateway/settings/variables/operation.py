"""The variables of the group "Operation"."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from otp_gateway.settings.cores import workers
from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    LOG_LEVELS,
    absolute_path,
    choice,
    integer,
    printable,
)
from otp_gateway.settings.urls import dsn


@dataclass(frozen=True, kw_only=True)
class OperationVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    metrics_token: str | None = variable(
        optional(printable),
        "",
        heading="Operation",
        help="The bearer token for /metrics. Empty: only for scrapers on the same machine, without a proxy.",
        secret=True,
    )
    metrics_dir: Path | None = variable(
        optional(absolute_path),
        "",
        help="The directory in which workers share their metrics. A tmpfs is best. Each gateway makes its "
        "own folder there. Empty: the directory for temporary files (TMPDIR, /tmp).",
    )
    sentry_dsn: str | None = variable(
        optional(dsn),
        "",
        help="Where unexpected errors are reported; needs `pip install -r requirements-sentry.txt`. A report "
        "holds the type of the error, its place in the code, the route and the id of the request; no "
        "message, no values.",
        secret=True,
    )
    log_level: str = variable(
        choice(*LOG_LEVELS, any_case=True), "INFO", help="The lowest level that is logged."
    )
    trusted_proxies: int = variable(
        integer(0, 10),
        "0",
        help="Your proxies in front. The client's address is read that many hops from the right of "
        "X-Forwarded-For.",
    )
    port: int = variable(integer(1, 65_535), "8000", help="The TCP port.")
    web_concurrency: int = variable(
        integer(1, 512),
        workers,
        help="Workers of gunicorn; the default is twice the cores that the process may use (its affinity and "
        "its control group), at most 12. The embedded store runs in one. gunicorn "
        "itself reads this variable: leave the line out instead of leaving it empty.",
    )
