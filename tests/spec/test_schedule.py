"""Schedules: when the next time is, and what is no schedule."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from nakagin.errors import Invalid
from nakagin.spec.schedule import Schedule


def following(text: str, after: str, zone: str = "", count: int = 3) -> list[str]:
    """The next times in the schedule's own zone."""
    place = ZoneInfo(zone or "UTC")
    schedule = Schedule(text, zone)
    moment = dt.datetime.fromisoformat(after).replace(tzinfo=place).timestamp()
    found = []
    for _ in range(count):
        moment = schedule.next(moment)
        found.append(dt.datetime.fromtimestamp(moment, place).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/15 * * * *", "2026-01-01T10:14", ["2026-01-01 10:15", "2026-01-01 10:30", "2026-01-01 10:45"]),
        ("30 3 * * 1-5", "2026-01-02T03:30", ["2026-01-05 03:30", "2026-01-06 03:30", "2026-01-07 03:30"]),
        ("0 0 29 feb *", "2026-01-01T00:00", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 12 13 * FRI", "2026-02-01T00:00", ["2026-02-06 12:00", "2026-02-13 12:00", "2026-02-20 12:00"]),
        ("0 12 */2 * 7", "2026-02-01T13:00", ["2026-02-15 12:00", "2026-03-01 12:00", "2026-03-15 12:00"]),
        (
            "5,10-12/2 8/8 * * *",
            "2026-01-01T00:00",
            ["2026-01-01 08:05", "2026-01-01 08:10", "2026-01-01 08:12"],
        ),
        ("@monthly", "2026-01-31T10:00", ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"]),
        ("@every 90m", "2026-01-01T00:00", ["2026-01-01 01:30", "2026-01-01 03:00", "2026-01-01 04:30"]),
    ],
)
def test_the_next_times(text: str, after: str, expected: list[str]) -> None:
    assert following(text, after) == expected


def test_when_the_clocks_change() -> None:
    zone = "Europe/Vienna"
    spring = following("30 2 * * *", "2026-03-28T12:00", zone)
    assert spring == ["2026-03-29 03:30", "2026-03-30 02:30", "2026-03-31 02:30"], (
        "half past two is not there"
    )
    autumn = following("30 2 * * *", "2026-10-24T12:00", zone)
    assert autumn == ["2026-10-25 02:30", "2026-10-26 02:30", "2026-10-27 02:30"], "and is there twice"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a schedule"),
        ("* * * *", "not a schedule"),
        ("60 * * * *", "'60' is not a minute: from 0 to 59"),
        ("* * * * mo", "'mo' is not a day of the week"),
        ("5-1 * * * *", "the lower one comes first"),
        ("*/0 * * * *", "the step"),
        ("0 0 31 2 *", "never comes"),
        ("@every 10ms", "too often"),
        ("@every soon", "invalid duration"),
        ("@sometimes", "not a schedule"),
    ],
)
def test_what_is_no_schedule(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        Schedule(text)


def test_no_such_zone() -> None:
    for zone in ("Nowhere/Town", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(Invalid, match="no such time zone"):
            Schedule("@daily", zone)
