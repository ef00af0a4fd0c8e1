"""The variables of the group "Pages"."""

# `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    boolean,
    password_hash,
)
from otp_gateway.settings.urls import urls


@dataclass(frozen=True, kw_only=True)
class PageVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    admin_password_hash: str | None = variable(
        optional(password_hash),
        "",
        heading="Pages",
        help="Turns on the admin panel at /admin/. To generate a hash: flask otp hash-password",
        secret=True,
    )
    admin_reveal_codes: bool = variable(
        boolean, "false", help="The panel shows active codes, and the log has a line for each view."
    )
    otp_login_redirect: tuple[str, ...] = variable(
        urls,
        "",
        help="URLs to which the login page sends users after the login, comma-separated. The first is the "
        "default. ?next= may name any URL of the listed origins.",
    )
