"""Every variable, declared once: name, type, default, range and help. ``.env.example`` is made from this."""

# ruff: noqa: RUF009  # `variable` makes a dataclass field, so each instance gets a value of its own

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from otp_gateway.model import Window
from otp_gateway.settings.cores import workers
from otp_gateway.settings.declaration import optional, variable
from otp_gateway.settings.parsers import (
    LOG_LEVELS,
    MIN_SECRET,
    NEW_SECRET,
    absolute_path,
    boolean,
    choice,
    former_secrets,
    integer,
    message,
    number,
    password_hash,
    printable,
    private_key,
    probability,
    public_keys,
    regions,
    secret,
    windows,
)
from otp_gateway.settings.redis_url import readable_file, redis_url
from otp_gateway.settings.urls import base_url, domain, dsn, origins, urls
from otp_gateway.signing import ASYMMETRIC, SYMMETRIC, PrivateKey, PublicKey
from otp_gateway.sms_backends import SMS_BACKENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The values of all variables. ``Settings`` adds everything that follows from them."""

    secret_key: str = variable(
        secret,
        # Rules require the variable with a real Redis, whose state is still there after a restart.
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

    kavenegar_api_key: str | None = variable(
        optional(printable), "", heading="SMS", help="The API key of your Kavenegar account.", secret=True
    )
    kavenegar_sender: str = variable(
        printable,
        "10008663",
        help="The number that sends. Set but empty: Kavenegar chooses the number.",
        keep_empty=True,
    )
    kavenegar_template: str | None = variable(
        optional(printable),
        "",
        help="A template for verify/lookup: it is faster than sms/send and is not filtered. Calls need it. "
        "The text is stored at Kavenegar: OTP_MESSAGE and OTP_WEB_DOMAIN have no effect on it.",
    )
    kavenegar_base_url: str = variable(
        base_url,
        "https://api.kavenegar.com",
        help="Set another URL for an emulator or a proxy.",
        secret=True,  # the URL of a proxy may hold a password
    )
    kavenegar_min_credit: int = variable(
        integer(0, 10**12), "500000", help="Rial. Below it the log warns, and an alert can fire. 0: never."
    )
    sms_backend: str = variable(
        choice(*SMS_BACKENDS), "kavenegar", help="console: messages are printed, not sent."
    )
    sms_timeout: float = variable(
        number(0.1, 120), "10", help="Seconds for one send, including connect and retries."
    )

    otp_length: int = variable(
        integer(4, 10),
        "6",
        heading="Codes and limits",
        help="Digits of a code. 4 and 5 only if OTP_MAX_GUESS_PROBABILITY allows them.",
    )
    otp_expiry_time: int = variable(integer(1, 600), "300", help="Seconds until a code expires.")
    otp_max_attempts: int = variable(integer(1, 100), "3", help="Wrong tries per code.")
    otp_phone_limits: tuple[Window, ...] = variable(
        windows,
        "3/2minute;10/hour;20/day",
        help="Sends per phone: sliding windows in the notation of the `limits` library.",
    )
    otp_ip_limits: tuple[Window, ...] = variable(
        windows, "5/minute", help="Requests per IP address, for each endpoint that sends or verifies a code."
    )
    token_ip_limits: tuple[Window, ...] = variable(
        windows, "60/minute", help="Requests per IP address, for each endpoint that takes a token."
    )
    otp_max_failures_per_client: int = variable(
        integer(1, 1_000_000), "10", help="Failed verifies in 24 h per phone and client network."
    )
    otp_max_failures_per_phone: int = variable(
        integer(1, 1_000_000), "50", help="Failed verifies in 24 h per phone."
    )
    otp_max_guess_probability: Decimal = variable(
        probability,
        "1e-4",
        help="The highest allowed probability that an attacker guesses a code of one phone within any 24 h. "
        "If 2 x OTP_MAX_FAILURES_PER_PHONE / 10^OTP_LENGTH is higher, the gateway does not start.",
    )
    otp_regions: tuple[str, ...] = variable(
        regions,
        "IR",
        help="Regions whose phones may log in: ISO 3166, comma-separated. The first is the default for "
        "national numbers. *: all regions.",
    )
    otp_message: str = variable(
        message,
        "کد تایید شما: {code}",
        help="The text of the SMS, with {code} exactly once. \\n is a line end, \\\\ a backslash. This "
        "file's quotes are not part of the text; `docker run --env-file` keeps quotes: leave them out there.",
    )
    otp_web_domain: str | None = variable(
        optional(domain),
        "",
        help='If set, the SMS ends with the line "@domain #code": browsers then fill in the code (WebOTP).',
    )

    jwt_issuer: str = variable(str, "otp-gateway", heading="Tokens", help="The claim `iss` of the tokens.")
    jwt_audience: str = variable(str, "otp-gateway", help="The claim `aud` of the access tokens.")
    jwt_algorithm: str = variable(
        choice(SYMMETRIC, *ASYMMETRIC),
        SYMMETRIC,
        help="HS256 signs with SECRET_KEY, the others sign with JWT_PRIVATE_KEY.",
    )
    jwt_private_key: PrivateKey | None = variable(
        optional(private_key),
        "",
        help=r"PEM text (\n for line ends), or the path of a PEM file.",
        secret=True,
    )
    jwt_former_public_keys: tuple[PublicKey, ...] = variable(
        public_keys,
        "",
        help="The public keys of former private keys: PEM, one after the other, or the path of a file. Their "
        "tokens stay valid, and they stay in the JWKS.",
        secret=True,
    )
    jwt_access_ttl: int = variable(integer(1, 86_400), "900", help="Seconds that an access token is valid.")
    jwt_refresh_ttl: int = variable(
        integer(1, 31_536_000), "2592000", help="Seconds that a refresh token and its session are valid."
    )
    auth_cookies: bool = variable(boolean, "false", help="Tokens in cookies instead of the body.")
    cors_origins: tuple[str, ...] = variable(
        origins,
        "",
        help="Origins whose pages may call the API, comma-separated. Not together with AUTH_COOKIES.",
    )

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
