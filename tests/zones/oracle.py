"""The oracle: it knows the rule of ticks and nothing of the package. It walks over UTC instants, minute by minute.

Cron expressions are read here a second time, and matched against the date and time that clocks show. Nothing is
computed from local times to instants, which is the direction in which the package works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTES_OF_A_DAY = 1440
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAMES = {name: str(place) for names, low in ((WEEKDAYS, 0), (MONTHS, 1)) for place, name in enumerate(names, low)}
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


@dataclass(frozen=True)
class Shape:
    """A cron expression, read: which minutes of the day, whether by real hours, and its three fields of days."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    real: bool
    days: str
    months: frozenset[int]
    weekdays: str

    @lru_cache(maxsize=100_000)  # noqa: B019 - shapes live as long as the process
    def on(self, day: int) -> bool:
        when = EPOCH.date() + timedelta(days=day)
        if when.month not in self.months:
            return False
        by_day, by_weekday = on_day(self.days, when), on_weekday(self.weekdays, when)
        if self.days == "*" or self.weekdays == "*":
            return by_day and by_weekday
        return by_day or by_weekday


def numbers(text: str, low: int, high: int) -> frozenset[int]:
    """A list of numbers, ranges and steps."""
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (int(end) for end in span.split("-"))
        else:
            first, last = int(span), high if step else int(span)
        if first > last:
            found |= {*range(first, high + 1, int(step or 1)), *range(low, last + 1, int(step or 1))}
        found |= {*range(first, last + 1, int(step or 1))}
    return frozenset(found)


def on_day(text: str, when: date) -> bool:
    if text == "L":
        return (when + timedelta(days=1)).day == 1
    return when.day in numbers(text, 1, 31)


def on_weekday(text: str, when: date) -> bool:
    weekday = when.isoweekday() % 7
    if "#" in text:
        wanted, nth = text.split("#")
        return weekday == int(wanted) and (when.day - 1) // 7 + 1 == int(nth)
    if text.startswith("L"):
        return weekday == int(text[1:]) and (when + timedelta(days=7)).month != when.month
    return weekday in {number % 7 for number in numbers(text, 0, 7)}


def read(text: str) -> Shape:
    plain = ALIASES.get(text, text)
    plain = re.sub("[A-Z]{3}", lambda found: NAMES[found.group()], plain)
    minute, hour, day, month, weekday = plain.split()
    hours = numbers(hour, 0, 23)
    real = hour.startswith("*") or len(hours) == 24
    return Shape(text, numbers(minute, 0, 59), hours, real, day, numbers(month, 1, 12), weekday)


@dataclass(frozen=True)
class Walk:
    """Every minute of a time: the first one, as minutes since 1970, and what clocks show at each, counted likewise."""

    start: int
    walls: np.ndarray

    def instants(self, found: list[int]) -> list[datetime]:
        return [EPOCH + timedelta(minutes=self.start + place) for place in found]


def walk(zone: str, start: datetime, minutes: int) -> Walk:
    """What clocks show at each minute. Only the direction from instants to walls is used."""
    place = ZoneInfo(zone)
    first = (start - EPOCH) // timedelta(minutes=1)
    zero = EPOCH.replace(tzinfo=None)
    walls = [
        ((start + timedelta(minutes=number)).astimezone(place).replace(tzinfo=None) - zero) // timedelta(minutes=1)
        for number in range(minutes)
    ]
    return Walk(first, np.array(walls))


def matches(shape: Shape, walls: np.ndarray) -> np.ndarray:
    """Which of these walls the expression takes."""
    days, times = np.divmod(walls, MINUTES_OF_A_DAY)
    of_day = np.zeros(MINUTES_OF_A_DAY, dtype=bool)
    of_day[[hour * 60 + minute for hour in shape.hours for minute in shape.minutes]] = True
    known, places = np.unique(days, return_inverse=True)
    return of_day[times] & np.array([shape.on(int(day)) for day in known], dtype=bool)[places]


def ticks_of(shape: Shape, walked: Walk) -> list[datetime]:
    """The instants at which the shape fires in a walk, whose first day is only for knowing what was shown before."""
    walls = walked.walls
    if shape.real:
        return walked.instants([int(place) for place in np.flatnonzero(matches(shape, walls))])
    highest = np.maximum.accumulate(walls)
    new = np.ones(len(walls), dtype=bool)
    new[1:] = walls[1:] > highest[:-1]  # a time that clocks show again is not new
    fires = matches(shape, walls) & new
    for place in np.flatnonzero(np.diff(walls) > 1):
        before, after = int(walls[place]), int(walls[place + 1])
        skipped = np.arange(max(before, int(highest[place])) + 1, after)
        shown = (before // MINUTES_OF_A_DAY, after // MINUTES_OF_A_DAY)
        skipped = skipped[np.isin(skipped // MINUTES_OF_A_DAY, shown)]
        if len(skipped) and matches(shape, skipped).any():
            fires[place + 1] = True
    return walked.instants([int(place) for place in np.flatnonzero(fires)])


def day_starts(walked: Walk) -> list[datetime]:
    """The minutes at which clocks show a date for the first time."""
    days = walked.walls // MINUTES_OF_A_DAY
    highest = np.maximum.accumulate(days)
    return walked.instants([int(place) + 1 for place in np.flatnonzero(days[1:] > highest[:-1])])


def hour_starts(walked: Walk) -> list[datetime]:
    """The minutes at which clocks show a full hour, and those at which the minutes of full hours change."""
    instants = walked.start + np.arange(len(walked.walls))
    phase = (walked.walls - instants) % 60
    full = (walked.walls % 60 == 0)[1:] | (np.diff(phase) != 0)
    return walked.instants([int(place) + 1 for place in np.flatnonzero(full)])


def changes(zone: str, first_year: int, last_year: int) -> list[datetime]:
    """The minutes at which a zone's offset changes in these years: looked for every six hours, then by halving."""
    place = ZoneInfo(zone)
    step = timedelta(hours=6)
    found: list[datetime] = []
    low = datetime(first_year, 1, 1, tzinfo=UTC)
    end = datetime(last_year + 1, 1, 1, tzinfo=UTC)
    before = low.astimezone(place).utcoffset()
    while low < end:
        high = low + step
        after = high.astimezone(place).utcoffset()
        if after != before:
            left, right = low, high
            while right - left > timedelta(minutes=1):
                middle = left + (right - left) // 2
                middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
                left, right = (middle, right) if middle.astimezone(place).utcoffset() == before else (left, middle)
            found.append(right)
        low, before = high, after
    return found


def zones() -> list[str]:
    """Every zone of the database, but those that only say how they were made."""
    return sorted(name for name in available_timezones() if not name.startswith(("posix/", "right/")))
