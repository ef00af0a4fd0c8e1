"""The settings: read once from the environment, checked as a whole, then frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path

from otp_gateway.messages import FixedCodes
from otp_gateway.model import Channel, GateRules, Policy
from otp_gateway.settings import rules
from otp_gateway.settings.declaration import declared
from otp_gateway.settings.misspelt import misspelt
from otp_gateway.settings.operators import Operator, usual_time_zone
from otp_gateway.settings.reading import SettingsError, read_values, read_variables
from otp_gateway.settings.test_numbers import ends_ms
from otp_gateway.settings.variables import Variables
from otp_gateway.signing import PrivateKey
from otp_gateway.sms_backends import SMS_BACKENDS
from otp_gateway.sms_http import HttpTemplate

__all__ = ["Settings", "SettingsError", "read_variables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Variables):
    """Every setting, with its type. Times are in seconds. The repr shows no secret.

    A field has the name of its variable in lower case. ``settings/variables/`` declares them. ``misspelt``:
    names that begin like ours, each with the name that was probably meant.
    """

    misspelt: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env")) -> Settings:
        """Read and check every variable. A variable in ``environ`` has priority over the ``.env`` file.

        Raises ``SettingsError`` with all faults at once.
        """
        variables = read_variables(environ, dotenv)
        values, faults = read_values(variables)
        # A variable that is invalid by itself has no further faults: its value is not known.
        invalid = set(faults)
        for name, text in rules.contradictions(values, variables):
            if name not in invalid:
                faults.setdefault(name, []).append(text)
        if faults:
            raise SettingsError(faults)
        unknown = tuple(misspelt(variables, (variable.name for variable in declared(Variables).values())))
        return cls(**values, misspelt=unknown)

    @property
    def signing_key(self) -> str | PrivateKey:
        """The key that signs tokens: the shared secret, or the private key."""
        return self.jwt_private_key or self.secret_key

    @property
    def secrets(self) -> tuple[str, ...]:
        """The present secret, and then the former secrets."""
        return (self.secret_key, *self.secret_key_fallbacks)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators who may sign in to the panel. It is empty if the panel is off."""
        nameless = (Operator("", self.admin_password_hash),) if self.admin_password_hash else ()
        return nameless + self.admin_users

    @property
    def panel_zone(self) -> tzinfo:
        """The time zone of the panel."""
        return self.admin_timezone or usual_time_zone(self.otp_regions[0])

    @property
    def embedded(self) -> bool:
        """Whether the store is inside this process."""
        return self.redis_url is None

    @property
    def threads(self) -> int:
        """The threads of a worker.

        There are many, because a send uses one until a slow SMS provider answers.
        """
        return 32

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of a code. A call needs a lookup template."""
        needed = (SMS_BACKENDS[name].calls_with for name in self.sms_backend)
        calls = any(variable and getattr(self, variable.lower()) for variable in needed)
        return ("sms", "call") if calls else ("sms",)

    @property
    def guess_probability(self) -> Decimal:
        """The probability that an attacker signs in with one phone by guessing within any 24 h."""
        return rules.guess_probability(self.otp_max_failures_per_phone, self.otp_length)

    @property
    def fixed_codes(self) -> FixedCodes:
        """The test numbers with their codes, and the time at which they expire."""
        last = self.otp_test_numbers_until
        return FixedCodes(self.otp_test_numbers, ends_ms(last) if last else 0)

    @property
    def http_template(self) -> HttpTemplate | None:
        """The templates of SMS_HTTP_*; None without a URL."""
        if self.sms_http_url is None:
            return None
        return HttpTemplate(
            self.sms_http_url, self.sms_http_method, self.sms_http_headers, self.sms_http_body
        )

    def warnings(self) -> list[str]:
        """The warnings that are logged at every start."""
        return rules.warnings(self)

    @property
    def gate(self) -> GateRules:
        """The rules of the send gate. Messages that reach no phone cost nothing, so they need no gate."""
        delivers = any(SMS_BACKENDS[name].delivers for name in self.sms_backend)
        if self.otp_gate == "off" or not delivers:
            return GateRules()
        return GateRules(self.otp_gate, self.otp_gate_credit, self.otp_send_budget)

    @property
    def policy(self) -> Policy:
        """The settings that the core needs."""
        return Policy(
            length=self.otp_length,
            lifetime=self.otp_expiry_time,
            max_attempts=self.otp_max_attempts,
            windows=self.otp_phone_limits,
            max_failures_per_client=self.otp_max_failures_per_client,
            max_failures_per_phone=self.otp_max_failures_per_phone,
            session_lifetime=self.jwt_refresh_ttl,
            device_lifetime=86_400 * self.otp_device_days,
        )
