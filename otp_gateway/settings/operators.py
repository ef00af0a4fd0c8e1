"""Parsers about the panel: operators with names, and its time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import ValidationError

from otp_gateway.settings.parsers import password_hash

LONGEST_NAME = 32
TEHRAN = "Asia/Tehran"
IRAN = "IR"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of the panel. The name is empty for the password without a name."""

    name: str
    password_hash: str = field(repr=False)


def operators(text: str) -> tuple[Operator, ...]:
    """``name:hash``, comma-separated. A hash contains no comma."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, hash_ = part.partition(":")
        name = name.strip()
        if not colon or not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise ValidationError(
                "use name:hash, comma-separated, with names of 1 to 32 printable characters"
            )
        found.append(Operator(name, password_hash(hash_.strip())))
    names = [operator.name.casefold() for operator in found]
    if len(set(names)) < len(names):
        raise ValidationError("each name may be used once, whatever its case")
    return tuple(found)


def time_zone(text: str) -> tzinfo:
    """A time zone by its name in the IANA database."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(f"{text!r} is no time zone of this machine, such as {TEHRAN} or UTC") from None


def usual_time_zone(first_region: str) -> tzinfo:
    """The time zone if the operator has named none."""
    if first_region != IRAN:
        return UTC
    try:
        return ZoneInfo(TEHRAN)
    except ZoneInfoNotFoundError:
        # A container image can lack the database. Iran has had no summer time since 2022.
        return timezone(timedelta(hours=3, minutes=30), TEHRAN)
