"""Writes times in the operator's time zone, in Persian with Jalali dates."""

from __future__ import annotations

from datetime import datetime, tzinfo

import jdatetime

from otp_gateway.support.words import Language, words_of

FORMATS = {"hour": "%H:%M", "day": "%H:%M", "week": "%m-%d", "month": "%m-%d"}
JALALI_FORMATS = {**FORMATS, "week": "%m/%d", "month": "%m/%d"}


class Times:
    """Writes seconds since 1970 in one time zone and language."""

    def __init__(self, zone: tzinfo, language: Language) -> None:
        self._zone = zone
        self._words = words_of(language)

    @property
    def zone(self) -> str:
        """The name of the time zone."""
        return str(self._zone)

    def moment(self, seconds: float) -> str:
        """Date and time, to the second. In Persian, it is the Jalali date, and then the Gregorian date."""
        at = self._at(seconds)
        if self._words.language == "en":
            return f"{at:%Y-%m-%d %H:%M:%S}"
        jalali = jdatetime.datetime.fromgregorian(datetime=at)
        return f"{self._words.digits(f'{jalali:%Y/%m/%d} {at:%H:%M:%S}')} ({at:%Y-%m-%d})"

    def time(self, seconds: float) -> str:
        """The time of day, to the minute."""
        return self._words.digits(f"{self._at(seconds):%H:%M}")

    def iso(self, seconds: float) -> str:
        """The time in ISO 8601, for the ``datetime`` attribute of HTML, and for programs."""
        return self._at(seconds).isoformat(timespec="seconds")

    def label(self, span: str, seconds: float) -> str:
        """The name of one step of a span, for the axis of a chart."""
        at = self._at(seconds)
        if self._words.language == "en":
            return f"{at:{FORMATS[span]}}"
        jalali = jdatetime.datetime.fromgregorian(datetime=at)
        return self._words.digits(jalali.strftime(JALALI_FORMATS[span]))

    def _at(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, self._zone)
