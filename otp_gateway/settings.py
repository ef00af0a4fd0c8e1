"""The settings: read once from the environment, checked as a whole, then frozen."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import limits
import phonenumbers
from dotenv import dotenv_values
from environs import Env, EnvValidationError, ValidationError, validate

from otp_gateway.model import Channel, Policy, Window
from otp_gateway.signing import (
    ASYMMETRIC,
    SYMMETRIC,
    PrivateKey,
    PublicKey,
    algorithm_of,
    load_private,
    load_public,
)

# The longest message that Kavenegar takes, less the WebOTP line.
MAX_MESSAGE = 700
MIN_SECRET = 32
MAX_REASON = 60
NEW_SECRET = """make one with: python -c "import secrets; print(secrets.token_urlsafe(48))" """.strip()
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
URL_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?)+\Z", re.IGNORECASE)


Faults = Mapping[str, list[str]]


class SettingsError(Exception):
    """One or more variables are wrong. ``faults`` maps each variable's name to what to do about it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = dict(faults)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"  {name}: {text}" for name, texts in sorted(self.faults.items()) for text in texts]
        return "\n".join(["otp-gateway cannot start, its settings are wrong:", *lines])


def _windows(text: str) -> tuple[Window, ...]:
    try:
        items = limits.parse_many(text)
    except ValueError:
        raise ValidationError(f"{text!r} is not a list of limits such as '3/2minute;10/hour'") from None
    if any(item.amount < 1 or item.multiples < 1 for item in items):
        raise ValidationError(f"{text!r} holds a zero: nobody could ever log in")
    return tuple(
        sorted((Window(i.amount, i.get_expiry()) for i in items), key=lambda w: (w.seconds, w.limit))
    )


def _regions(text: str) -> tuple[str, ...]:
    regions = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    unknown = [r for r in regions if r != "*" and r not in phonenumbers.SUPPORTED_REGIONS]
    if unknown or not regions:
        raise ValidationError(f"{', '.join(unknown) or 'empty'}: use ISO 3166 codes, or * for all")
    return regions


def _message(text: str) -> str:
    if text.count("{code}") != 1:
        raise ValidationError("the text must hold {code} exactly once")
    if len(text) > MAX_MESSAGE:
        raise ValidationError(f"the text is longer than {MAX_MESSAGE} characters")
    return text


def _domain(text: str) -> str:
    if not HOSTNAME.match(text):
        raise ValidationError("give a bare domain such as example.com, without scheme, port or path")
    return text


def _redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        sound = bool(hosts or parts.path.strip("/"))
        if parts.scheme == "redis+sentinel":
            sound = bool(hosts and parts.path.strip("/"))
        elif parts.scheme in ("redis", "rediss"):
            sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        elif parts.scheme == "redis+cluster":
            sound = bool(hosts)
    except ValueError:
        sound = False
        parts = urlsplit("")
    if not sound or parts.scheme not in URL_SCHEMES:
        # The value itself may hold a password, so it is not repeated.
        raise ValidationError(f"use {', '.join(f'{s}://' for s in URL_SCHEMES)}, with a host")
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValidationError("give an http:// or https:// address without query")
    return text.rstrip("/")


def _probability(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValidationError(f"{text!r} is not a number such as 1e-4") from None
    if not 0 < value <= 1:
        raise ValidationError("give a number above 0 and at most 1")
    return value


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValidationError("only printable ASCII without blanks")
    return text


def _log_level(text: str) -> str:
    level = text.upper()
    if level not in LOG_LEVELS:
        raise ValidationError(f"use one of {', '.join(LOG_LEVELS)}")
    return level


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        try:
            parts = urlsplit(origin)
            sound = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
            sound = sound and bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in origin
        except ValueError:
            sound = False
        if not sound or "*" in origin:
            raise ValidationError(f"{origin!r} is no origin such as https://app.example.com")
    return origins


def _secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(len(secret) < MIN_SECRET for secret in found):
        raise ValidationError(f"each must have at least {MIN_SECRET} characters, as when it was SECRET_KEY")
    return found


def _pem(text: str) -> str:
    """The PEM itself: given as such (line ends may be written as backslash and n), or as a file's path."""
    if "-----BEGIN" in text:
        return text.replace("\\n", "\n")
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError):
        # The text may be a mangled key, so it is not repeated.
        raise ValidationError("is neither a PEM text nor the path of a readable PEM file") from None


def _private_key(text: str) -> PrivateKey | None:
    try:
        return load_private(_pem(text)) if text else None
    except ValueError as error:
        raise ValidationError(f"is no usable private key: {_reason(error)}") from None


def _public_keys(text: str) -> tuple[PublicKey, ...]:
    try:
        return tuple(load_public(_pem(text))) if text else ()
    except ValueError as error:
        raise ValidationError(f"is no usable public key: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    # Our own words are short; OpenSSL's are not for people.
    text = str(error)
    return text if len(text) < MAX_REASON else "not readable"


PARSERS: dict[str, Callable[[str], Any]] = {
    "windows": _windows,
    "regions": _regions,
    "message": _message,
    "domain": _domain,
    "redis_url": _redis_url,
    "base_url": _base_url,
    "probability": _probability,
    "printable": _printable,
    "level": _log_level,
    "origins": _origins,
    "private_key": _private_key,
    "public_keys": _public_keys,
    "secrets": _secrets,
}


class _Environment(Env):
    """An ``Env`` over a given mapping, where a variable that is set but empty counts as unset."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._variables = variables
        for name, parse in PARSERS.items():
            self.add_parser(name, parse)

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._variables.get(env_key) or default


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
    kavenegar_base_url: str
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
    log_level: str
    trusted_proxies: int
    port: int
    web_concurrency: int

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env")) -> Settings:
        """Read and check every variable; what stands in ``environ`` outranks the ``.env`` file.

        Raises ``SettingsError`` with all faults at once.
        """
        variables: dict[str, str] = {}
        if dotenv is not None and dotenv.is_file():
            variables = {k: v for k, v in dotenv_values(dotenv).items() if v is not None}
        variables.update(environ)
        env = _Environment(variables)
        values = _read(env, variables)
        try:
            env.seal()
            faults: dict[str, list[str]] = {}
        except EnvValidationError as error:
            faults = {name: list(texts) for name, texts in cast("Faults", error.error_messages).items()}
        for name, text in _contradictions(values):
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
        return guess_probability(self.otp_max_failures_per_phone, self.otp_length)

    def warnings(self) -> list[str]:
        """What an operator should know at every start."""
        found = []
        if self.embedded:
            found.append("REDIS_URL is not set: all state lives in this one process and ends with it")
        if self.sms_backend == "console" and not self.embedded:
            found.append("SMS_BACKEND=console prints codes to the log instead of sending them")
        return found

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


def guess_probability(failures: int, length: int) -> Decimal:
    """2 x failures / 10^length: the budget's window is fixed, so any 24 h may touch two of them."""
    return Decimal(2 * failures) / Decimal(10) ** length


def _read(env: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    """Every variable by field name; a faulty one is None and noted in ``env``."""
    return {
        "secret_key": env.str("SECRET_KEY", default=None, validate=_long_enough),
        "secret_key_fallbacks": env.secrets("SECRET_KEY_FALLBACKS", default=""),
        "redis_url": env.redis_url("REDIS_URL", default="") if variables.get("REDIS_URL") else None,
        "kavenegar_api_key": env.printable("KAVENEGAR_API_KEY", default="") or None,
        # Set but empty is a choice here: the account's own line sends.
        "kavenegar_sender": ""
        if variables.get("KAVENEGAR_SENDER") == ""
        else env.printable("KAVENEGAR_SENDER", default="10008663"),
        "kavenegar_template": env.printable("KAVENEGAR_TEMPLATE", default="") or None,
        "kavenegar_base_url": env.base_url("KAVENEGAR_BASE_URL", default="https://api.kavenegar.com"),
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
        "log_level": env.level("LOG_LEVEL", default="INFO"),
        "trusted_proxies": env.int("TRUSTED_PROXIES", default=0, validate=_range(0, 10)),
        "port": env.int("PORT", default=8000, validate=_range(1, 65_535)),
        "web_concurrency": env.int(
            "WEB_CONCURRENCY", default=2 * (os.cpu_count() or 1), validate=_range(1, 512)
        ),
    }


def _long_enough(secret: str | None) -> None:
    if secret is not None and len(secret) < MIN_SECRET:
        raise ValidationError(f"must have at least {MIN_SECRET} characters; {NEW_SECRET}")


def _contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong between variables that are each right; a faulty one (None) is passed over."""
    if values["redis_url"] is not None and values["secret_key"] is None:
        yield "SECRET_KEY", f"required when REDIS_URL is set; {NEW_SECRET}"
    length, failures = values["otp_length"], values["otp_max_failures_per_phone"]
    highest = values["otp_max_guess_probability"]
    if None not in (length, failures, highest):
        odds = guess_probability(failures, length)
        if odds > highest:
            yield (
                "OTP_MAX_GUESS_PROBABILITY",
                (
                    f"OTP_LENGTH={length} with OTP_MAX_FAILURES_PER_PHONE={failures} gives guess odds of "
                    f"{odds:f} a day, above the {highest:f} allowed; lengthen the code, lower the "
                    "failure budget, or raise this limit knowingly"
                ),
            )
    access, refresh = values["jwt_access_ttl"], values["jwt_refresh_ttl"]
    if None not in (access, refresh) and access > refresh:
        yield "JWT_ACCESS_TTL", "an access token cannot outlive its session (JWT_REFRESH_TTL)"
    algorithm, key = values["jwt_algorithm"], values["jwt_private_key"]
    if algorithm in ASYMMETRIC and key is None:
        yield "JWT_PRIVATE_KEY", f"required for JWT_ALGORITHM={algorithm}: a PEM text or a file's path"
    elif key is not None and algorithm not in (None, algorithm_of(key.public_key())):
        yield "JWT_PRIVATE_KEY", f"is a key for {algorithm_of(key.public_key())}, not for {algorithm}"
    if values["auth_cookies"] and values["cors_origins"]:
        yield (
            "CORS_ORIGINS",
            "contradicts AUTH_COOKIES: other origins get tokens in the body, or nothing",
        )
    if values["jwt_audience"] == f"{values['jwt_issuer']}/refresh":
        yield "JWT_AUDIENCE", "is kept for refresh tokens: choose another than issuer/refresh"
