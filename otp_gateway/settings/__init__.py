"""The settings: read once from the environment, checked as a whole, then frozen."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from dotenv import dotenv_values
from environs import Env, EnvValidationError, validate

from otp_gateway.model import Channel, Policy, Window
from otp_gateway.settings import rules
from otp_gateway.settings.parsers import PARSERS, long_enough
from otp_gateway.signing import ASYMMETRIC, SYMMETRIC, PrivateKey, PublicKey

# Variables of which "set but empty" is a choice of its own.
EMPTY_MEANS = frozenset({"KAVENEGAR_SENDER"})
Faults = Mapping[str, list[str]]


class SettingsError(Exception):
    """One or more variables are wrong. ``faults`` maps each variable's name to what to do about it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = dict(faults)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"  {name}: {text}" for name, texts in sorted(self.faults.items()) for text in texts]
        return "\n".join(["otp-gateway cannot start, its settings are wrong:", *lines])


class _Environment(Env):
    """An ``Env`` over a given mapping instead of the process's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._variables = variables
        for name, parse in PARSERS.items():
            self.add_parser(name, parse)

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._variables.get(env_key, default)


def _range(low: float, high: float) -> validate.Range:
    return validate.Range(min=low, max=high, error="must be from {min} to {max}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, typed. Times in seconds. Secrets stay out of the repr.

    Field names are the variables' names in lower case; ``Settings.load`` fills in the defaults.
    """

    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(repr=False)
    redis_url: str | None = field(repr=False)
    kavenegar_api_key: str | None = field(repr=False)
    kavenegar_sender: str
    kavenegar_template: str | None
    kavenegar_base_url: str = field(repr=False)  # a proxy's may hold a password
    kavenegar_min_credit: int
    sms_backend: Literal["kavenegar", "console"]
    sms_timeout: float
    otp_length: int
    otp_expiry_time: int
    otp_max_attempts: int
    otp_phone_limits: tuple[Window, ...]
    otp_ip_limits: tuple[Window, ...]
    token_ip_limits: tuple[Window, ...]
    otp_max_failures_per_client: int
    otp_max_failures_per_phone: int
    otp_max_guess_probability: Decimal
    otp_regions: tuple[str, ...]
    otp_message: str
    otp_web_domain: str | None
    jwt_issuer: str
    jwt_audience: str
    jwt_algorithm: str
    jwt_private_key: PrivateKey | None = field(repr=False)
    jwt_former_public_keys: tuple[PublicKey, ...] = field(repr=False)
    jwt_access_ttl: int
    jwt_refresh_ttl: int
    auth_cookies: bool
    cors_origins: tuple[str, ...]
    admin_password_hash: str | None = field(repr=False)
    admin_reveal_codes: bool
    otp_login_redirect: tuple[str, ...]
    metrics_token: str | None = field(repr=False)
    sentry_dsn: str | None = field(repr=False)
    log_level: str
    trusted_proxies: int
    port: int
    web_concurrency: int

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env")) -> Settings:
        """Read and check every variable; what stands in ``environ`` outranks the ``.env`` file.

        Raises ``SettingsError`` with all faults at once.
        """
        variables = read_variables(environ, dotenv)
        env = _Environment(variables)
        values = _read(env, variables)
        try:
            env.seal()
            faults: dict[str, list[str]] = {}
        except EnvValidationError as error:
            faults = {name: list(texts) for name, texts in cast("Faults", error.error_messages).items()}
        for name, text in rules.contradictions(values, variables):
            faults.setdefault(name, [text])
        if faults:
            raise SettingsError(faults)
        if values["secret_key"] is None:
            # Allowed only with the embedded store, whose state ends with the process as well.
            values["secret_key"] = secrets.token_urlsafe(48)
        return cls(**values)

    @property
    def signing_key(self) -> str | PrivateKey:
        """What signs tokens: the shared secret, or the private key."""
        return self.jwt_private_key or self.secret_key

    @property
    def embedded(self) -> bool:
        """Whether the store lives inside this process."""
        return self.redis_url is None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """How a code may travel; a call needs a lookup template."""
        return ("sms", "call") if self.kavenegar_template else ("sms",)

    @property
    def guess_probability(self) -> Decimal:
        """The odds that somebody guesses into one phone within any 24 h."""
        return rules.guess_probability(self.otp_max_failures_per_phone, self.otp_length)

    def warnings(self) -> list[str]:
        """What an operator should know at every start."""
        return rules.warnings(self)

    @property
    def policy(self) -> Policy:
        """What the core needs to know of all this."""
        return Policy(
            length=self.otp_length,
            lifetime=self.otp_expiry_time,
            max_attempts=self.otp_max_attempts,
            windows=self.otp_phone_limits,
            max_failures_per_client=self.otp_max_failures_per_client,
            max_failures_per_phone=self.otp_max_failures_per_phone,
            session_lifetime=self.jwt_refresh_ttl,
        )


def read_variables(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    """The environment over the ``.env`` file; a variable that is set but empty counts as unset."""
    try:
        file = dotenv_values(dotenv) if dotenv is not None and dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError):
        raise SettingsError({".env": ["cannot be read as UTF-8 text"]}) from None
    found = {name: value for name, value in file.items() if value or name in EMPTY_MEANS}
    found |= {name: value for name, value in environ.items() if value or name in EMPTY_MEANS}
    return {name: value or "" for name, value in found.items()}


def _read(env: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    """Every variable by field name; a faulty one is None and noted in ``env``."""
    return {
        "secret_key": env.str("SECRET_KEY", default=None, validate=long_enough),
        "secret_key_fallbacks": env.secrets("SECRET_KEY_FALLBACKS", default=""),
        "redis_url": env.redis_url("REDIS_URL", default="") if variables.get("REDIS_URL") else None,
        "kavenegar_api_key": env.printable("KAVENEGAR_API_KEY", default="") or None,
        # Set but empty, the account's own line sends.
        "kavenegar_sender": env.printable("KAVENEGAR_SENDER", default="10008663"),
        "kavenegar_template": env.printable("KAVENEGAR_TEMPLATE", default="") or None,
        "kavenegar_base_url": env.base_url("KAVENEGAR_BASE_URL", default="https://api.kavenegar.com"),
        "kavenegar_min_credit": env.int("KAVENEGAR_MIN_CREDIT", default=500_000, validate=_range(0, 10**12)),
        "sms_backend": env.str(
            "SMS_BACKEND",
            default="kavenegar",
            validate=validate.OneOf(("kavenegar", "console"), error="use one of {choices}"),
        ),
        "sms_timeout": env.float("SMS_TIMEOUT", default=10.0, validate=_range(0.1, 120)),
        "otp_length": env.int("OTP_LENGTH", default=6, validate=_range(4, 10)),
        "otp_expiry_time": env.int("OTP_EXPIRY_TIME", default=300, validate=_range(1, 600)),
        "otp_max_attempts": env.int("OTP_MAX_ATTEMPTS", default=3, validate=_range(1, 100)),
        "otp_phone_limits": env.windows("OTP_PHONE_LIMITS", default="3/2minute;10/hour;20/day"),
        "otp_ip_limits": env.windows("OTP_IP_LIMITS", default="5/minute"),
        "token_ip_limits": env.windows("TOKEN_IP_LIMITS", default="60/minute"),
        "otp_max_failures_per_client": env.int(
            "OTP_MAX_FAILURES_PER_CLIENT", default=10, validate=_range(1, 1_000_000)
        ),
        "otp_max_failures_per_phone": env.int(
            "OTP_MAX_FAILURES_PER_PHONE", default=50, validate=_range(1, 1_000_000)
        ),
        "otp_max_guess_probability": env.probability("OTP_MAX_GUESS_PROBABILITY", default="1e-4"),
        "otp_regions": env.regions("OTP_REGIONS", default="IR"),
        "otp_message": env.message("OTP_MESSAGE", default="کد تایید شما: {code}"),
        "otp_web_domain": env.domain("OTP_WEB_DOMAIN", default="")
        if variables.get("OTP_WEB_DOMAIN")
        else None,
        "jwt_issuer": env.str("JWT_ISSUER", default="otp-gateway"),
        "jwt_audience": env.str("JWT_AUDIENCE", default="otp-gateway"),
        "jwt_algorithm": env.str(
            "JWT_ALGORITHM",
            default=SYMMETRIC,
            validate=validate.OneOf((SYMMETRIC, *ASYMMETRIC), error="use one of {choices}"),
        ),
        "jwt_private_key": env.private_key("JWT_PRIVATE_KEY", default=""),
        "jwt_former_public_keys": env.public_keys("JWT_FORMER_PUBLIC_KEYS", default=""),
        "jwt_access_ttl": env.int("JWT_ACCESS_TTL", default=900, validate=_range(1, 86_400)),
        "jwt_refresh_ttl": env.int("JWT_REFRESH_TTL", default=2_592_000, validate=_range(1, 31_536_000)),
        "auth_cookies": env.bool("AUTH_COOKIES", default=False),
        "cors_origins": env.origins("CORS_ORIGINS", default=""),
        "admin_password_hash": env.password_hash("ADMIN_PASSWORD_HASH", default="") or None,
        "admin_reveal_codes": env.bool("ADMIN_REVEAL_CODES", default=False),
        "otp_login_redirect": env.addresses("OTP_LOGIN_REDIRECT", default=""),
        "metrics_token": env.printable("METRICS_TOKEN", default="") or None,
        "sentry_dsn": env.dsn("SENTRY_DSN", default="") or None,
        "log_level": env.level("LOG_LEVEL", default="INFO"),
        "trusted_proxies": env.int("TRUSTED_PROXIES", default=0, validate=_range(0, 10)),
        "port": env.int("PORT", default=8000, validate=_range(1, 65_535)),
        "web_concurrency": env.int(
            "WEB_CONCURRENCY", default=2 * (os.cpu_count() or 1), validate=_range(1, 512)
        ),
    }
