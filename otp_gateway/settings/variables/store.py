"""The variables of the group "Secret and store"."""

# `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

import secrets
from dataclasses import dataclass

from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    MIN_SECRET,
    NEW_SECRET,
    choice,
    former_secrets,
    secret,
)
from otp_gateway.settings.redis_url import readable_file, redis_url


@dataclass(frozen=True, kw_only=True)
class StoreVariables:
    """Declared here once: name, type, default, range and help of each variable."""

    secret_key: str = variable(
        secret,
        # With a real Redis, rules.py requires the variable: Redis still has its state after a restart.
        lambda: secrets.token_urlsafe(48),
        heading="Secret and store",
        help=f"Signs the tokens and is the key of the hashes; at least {MIN_SECRET} characters. Required if "
        "REDIS_URL is set, otherwise each start makes a random one. A change resets limits and codes.\n"
        f"To generate a secret, {NEW_SECRET}",
        secret=True,
    )
    secret_key_fallbacks: tuple[str, ...] = variable(
        former_secrets,
        "",
        help="Former secrets, comma-separated. Tokens and sessions made with them are still valid.",
        secret=True,
    )
    redis_url: str | None = variable(
        optional(redis_url),
        "",
        help="redis://, rediss://, unix://, redis+sentinel://h1:p,h2:p/name or redis+cluster://h1:p,h2:p.\n"
        "Empty: an embedded store in the only process, for development.",
        secret=True,
    )
    redis_tls_ca: str | None = variable(
        optional(readable_file),
        "",
        help="With TLS: a file with the certificates of trusted authorities.",
    )
    redis_tls_verify: str = variable(
        choice("full", "ca", "none"),
        "full",
        help="With TLS, what is checked of Redis's certificate. ca: its host name is not checked. none: only "
        "encrypted, an attacker on the way can read everything.",
    )
