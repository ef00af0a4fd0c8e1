"""Parsers of OTP_TEST_NUMBERS and OTP_TEST_NUMBERS_UNTIL, and the rules about them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from marshmallow import ValidationError

NUMBER = re.compile(r"(\+[1-9][0-9]{6,14})=([0-9]{4,10})")
MOST = 10
MOST_DAYS = 180


def numbers(text: str) -> dict[str, str]:
    """Numbers in E.164, each with its code: ``+989990000001=424242,…``."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = [NUMBER.fullmatch(part) for part in parts]
    pairs = {each[1]: each[2] for each in found if each}
    if None in found:
        raise ValidationError("give numbers in international format with their codes: +989990000001=424242")
    if len(pairs) < len(parts):
        raise ValidationError("has a number twice")
    if len(pairs) > MOST:
        raise ValidationError(f"has more than {MOST} numbers")
    return pairs


def until(text: str) -> date:
    """An ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValidationError("give a date such as 2027-01-31") from None


def ends_ms(day: date) -> int:
    """The end of the day (UTC), in milliseconds since 1970."""
    following = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return int(1000 * following.timestamp())


def faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The contradictions between the two variables and OTP_LENGTH."""
    found, day, length = (values[f"otp_{name}"] for name in ("test_numbers", "test_numbers_until", "length"))
    if not found:
        return
    latest = datetime.now(UTC).date() + timedelta(days=MOST_DAYS)
    if day is None:
        yield "OTP_TEST_NUMBERS", "needs OTP_TEST_NUMBERS_UNTIL: a date at most 180 days ahead"
    elif day > latest:
        yield "OTP_TEST_NUMBERS_UNTIL", f"is more than {MOST_DAYS} days ahead: {latest} is the last day"
    if length is not None and any(len(code) != length for code in found.values()):
        yield "OTP_TEST_NUMBERS", f"each code must have OTP_LENGTH={length} digits"
