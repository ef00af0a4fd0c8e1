"""The variables of the group "Pages"."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from otp_gateway.settings.brand import color, link, logo, name
from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.operators import Operator, operators, time_zone
from otp_gateway.settings.parsers import (
    boolean,
    choice,
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
    admin_users: tuple[Operator, ...] = variable(
        operators,
        "",
        help="Operators with names, for the activity log: name:hash, comma-separated, with hashes as in "
        "ADMIN_PASSWORD_HASH. This turns on the panel, too. A name has at most 32 characters.",
        secret=True,
    )
    admin_timezone: tzinfo | None = variable(
        optional(time_zone),
        "",
        help="The time zone of the panel, such as Asia/Tehran. Empty: Asia/Tehran if OTP_REGIONS begins with "
        "IR, otherwise UTC.",
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
    otp_language: str | None = variable(
        optional(choice("fa", "en")),
        "",
        help="The login page's language if the browser's language is neither Persian nor English. Allowed: "
        "fa or en. Empty: en.",
    )
    brand_name: str | None = variable(
        optional(name), "", help="The name of your site or app. The login page shows it in heading and title."
    )
    brand_logo: Path | None = variable(
        optional(logo),
        "",
        help="The path of your logo: an SVG, PNG, WebP, JPEG or ICO file of at most 64 KiB. The gateway "
        "reads it at start and serves it. The login page shows it, and browsers show it in the tab.",
    )
    brand_color: str | None = variable(
        optional(color),
        "",
        help="The colour of the login page's button and links, such as #0a7d4f. The page makes it lighter or "
        "darker where a text in this colour would be hard to read.",
    )
    brand_terms: str | None = variable(
        optional(link), "", help="The URL of your terms. The login page has a link to it."
    )
