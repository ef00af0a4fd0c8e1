"""What the commands work with."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Self

from otp_gateway.codes import Codes
from otp_gateway.senders import Sender, sender_for
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.settings import Settings
from otp_gateway.store import connect
from otp_gateway.store.connect import RedisClient


@dataclass(frozen=True, slots=True)
class Tools:
    """The gateway's parts, without its web application. ``reports``: None where Kavenegar is not used."""

    settings: Settings
    client: RedisClient
    sender: Sender
    reports: KavenegarReports | None
    codes: Codes

    @classmethod
    def from_environment(cls) -> Self:
        """As the environment says. Raises ``SettingsError``; connects to nothing yet."""
        settings = Settings.load()
        return cls(
            settings=settings,
            client=connect(settings.redis_url),
            sender=sender_for(settings),
            reports=KavenegarReports.from_settings(settings),
            codes=Codes(settings.secret_key, settings.otp_length),
        )


def writable(text: str) -> str:
    """The text with what standard output's encoding lacks escaped: a locale must not end a command."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
