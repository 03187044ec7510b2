"""When something is done again and again: cron's five fields, its names such as @daily, or "@every 10m". Pure.

minute hour day-of-month month day-of-week; each `*`, a number, a name (jan, mon), a range 1-5, a list 1,3, a step */15.
Where both days are restricted, one of them suffices, as in every cron since 1975.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration

_NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: (what it is, least, most, names from `least` on)
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_HINT = 'write "minute hour day month weekday" as in "30 3 * * 1-5", @daily, or "@every 10m"'
#: A schedule that does not come up within so many days never does: 29 February can be eight years away.
_HORIZON = 366 * 9
_SHORTEST = 1_000_000_000


class Schedule:
    """A schedule in a time zone ("" is UTC)."""

    def __init__(self, text: str, zone: str = "") -> None:
        """Raises Invalid, with what is wrong about the text or zone."""
        self.text = text
        self.every = 0
        try:
            self._zone: dt.tzinfo = ZoneInfo(zone) if zone not in ("", "UTC") else dt.UTC
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Invalid(f"no such time zone: {zone!r}", hint="as in Europe/Vienna") from None
        if text.startswith("@every "):
            self.every = parse_duration(text.removeprefix("@every ").strip())
            if self.every < _SHORTEST:
                raise Invalid(f"{text!r} is too often", hint="once a second at most")
            return
        words = _NICKNAMES.get(text, text).split()
        if len(words) != len(_FIELDS):
            raise Invalid(f"not a schedule: {text!r}", hint=_HINT)
        fields = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
        self._minutes, self._hours, self._days, self._months, weekdays = fields
        self._weekdays = {each % 7 for each in weekdays}
        self._any_day, self._any_weekday = words[2].startswith("*"), words[4].startswith("*")
        if self._next_day(dt.date(2024, 1, 1)) is None:
            raise Invalid(f"{text!r} names a day that never comes", hint=_HINT)

    def next(self, after: float) -> float:
        """The first time (seconds since the epoch) later than `after`; of "@every", so long after it.

        A time that the clock skips in spring comes at the hour after; one that comes twice in autumn counts once.
        """
        if self.every:
            return after + self.every / 1e9
        start = dt.datetime.fromtimestamp(after, self._zone)
        day: dt.date | None = start.date()
        while day is not None and (day := self._next_day(day)) is not None:
            for hour in sorted(self._hours):
                for minute in sorted(self._minutes):
                    local = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=self._zone)
                    if (found := local.timestamp()) > after:
                        return found
            day += dt.timedelta(1)
        raise AssertionError(self.text)

    def _next_day(self, day: dt.date) -> dt.date | None:
        """The first day from `day` on."""
        for _ in range(_HORIZON):
            if day.month in self._months and self._is_on(day):
                return day
            day += dt.timedelta(1)
        return None

    def _is_on(self, day: dt.date) -> bool:
        of_month, of_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return (of_month and of_week) if self._any_day or self._any_weekday else (of_month or of_week)


def _field(text: str, what: str, least: int, most: int, names: list[str]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, stepped, step = part.partition("/")
        if stepped and (not step.isdecimal() or not int(step)):
            raise Invalid(f"{part!r} is not a {what}: the step is a number from 1 on", hint=_HINT)
        if span == "*":
            first, last = least, most
        else:
            low, ranged, high = span.partition("-")
            first = _number(low, what, least, most, names)
            last = _number(high, what, least, most, names) if ranged else (most if stepped else first)
        if first > last:
            raise Invalid(f"{part!r} is not a {what}: the lower one comes first", hint=_HINT)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _number(text: str, what: str, least: int, most: int, names: list[str]) -> int:
    if text.lower()[:3] in names and text.isalpha():
        return least + names.index(text.lower()[:3])
    if not text.isdecimal() or not least <= int(text) <= most:
        raise Invalid(f"{text!r} is not a {what}: from {least} to {most}", hint=_HINT)
    return int(text)
