"""Cron expressions in a time zone: the instants at which they fire, over every change of the clocks.

croniter reads the text. The instants are ours: croniter fires a daily job twice on the day whose hour comes twice.

The rule, by the hour field:

* An hour field that begins with `*` (`*`, `*/2`), or that names all 24 hours, means real hours: it fires at every
  instant at which the zone's clocks show a time that matches. `0 * * * *` fires 25 times on the long day and 23 times
  on the short one; `*/15 * * * *` every real quarter of an hour.
* An hour field that names hours (`6`, `1,13`, `9-17`) means times of the day: each fires exactly once. A time that
  comes twice fires the first time; a time that does not come fires at the first instant after the gap, together with
  whatever fires there. On a date that a zone leaves out (Apia, 2011-12-30) nothing fires.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from msgspec import Struct

from assetflow.errors import BadDeclaration
from assetflow.partitions.zones import (
    LAST_YEAR,
    changes_in,
    first_instant,
    gap_days,
    instant_of,
    offset_at,
    seconds_of,
    wall_at,
    zone,
)

_FIELDS = ("minute", "hour", "day", "month", "weekday")
_TAKES = ("0-59", "0-23", "1-31", "1-12 or JAN-DEC", "0-7 or SUN-SAT")
_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


class CronTimes(Struct, frozen=True):
    """A cron expression as read: minutes and hours in order, and the days, where None means every one.

    `nth` holds weekdays with their number in the month, where 0 is the last (`5#2`, `L5`); `month_end` is `L`.
    `nearest` is the expression of days that croniter walks (`15W`, the working day nearest to the 15th), or None.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    real_hours: bool
    days: frozenset[int] | None
    months: frozenset[int] | None
    weekdays: frozenset[int] | None
    nth: frozenset[tuple[int, int]]
    month_end: bool
    nearest: str | None

    def fires_on(self, day: date) -> bool:
        """Whether the day, month and weekday fields take a date; when day and weekday are both given, one is enough."""
        if self.months is not None and day.month not in self.months:
            return False
        if self.days is None:
            return self.weekdays is None or self._on_weekday(day)
        if day.day in self.days or (self.month_end and (day + _DAY).day == 1):
            return True
        return self.weekdays is not None and self._on_weekday(day)

    def _on_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if self.weekdays is None or weekday not in self.weekdays:
            return False
        if not self.nth:
            return True
        return (weekday, (day.day + 6) // 7) in self.nth or (
            (weekday, 0) in self.nth and (day + 7 * _DAY).month != day.month
        )

    def dates(self, first: date, last: date) -> Iterator[date]:
        """Every date from `first` to `last`, both included, on which it fires, in order."""
        if self.nearest is not None:
            yield from _nearest_dates(self.nearest, first, last)
            return
        for number in range(first.toordinal(), last.toordinal() + 1):
            day = date.fromordinal(number)
            if self.fires_on(day):
                yield day

    def walls(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every time of the wall clock that matches, later than `after` and no later than `until`, in order."""
        for day in self.dates(after.date(), until.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall has no zone
                    if wall > until:
                        return
                    if wall > after:
                        yield wall


def ticks(expression: str, tz: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """The instants at which a cron expression fires, later than `after` and no later than `until`, in order.

    Ticks do not depend on where one starts: those of a long time are those of its parts, one after the other.

    Args:
        expression: five fields, or a name such as `@daily`.
        tz: a name of the IANA time zone database.
        after: an aware datetime; a tick at exactly this instant is left out.
        until: an aware datetime; a tick at exactly this instant is given.

    Yields:
        Aware datetimes in UTC, each later than the one before.

    Raises:
        BadDeclaration: the expression cannot be read, or there is no such zone.

    Example:
        >>> span = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
        >>> [f"{tick:%d %H:%M}" for tick in ticks("30 1 * * *", "Europe/London", *span)]
        ['28 01:30', '29 01:00']
    """
    times = read_cron(expression)
    zone(tz)
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    if times.real_hours:
        return _real_ticks(times, tz, after, until)
    return _daily_ticks(times, tz, after, until)


def check_cron(expression: str) -> str | None:
    """What is wrong with a cron expression, as a sentence without a full stop, or None when it can be used."""
    from croniter import CroniterError, croniter

    fields = expression.split()
    if len(fields) == 1 and expression.startswith("@"):
        known = fields[0] in _ALIASES
        return None if known else f"`{fields[0]}` is not a name of cron; the names are {', '.join(_ALIASES)}"
    if len(fields) != len(_FIELDS):
        return f"`{expression}` has {len(fields)} fields; cron has five: minute hour day month weekday"
    for place, field in enumerate(fields):
        problem = f"the {_FIELDS[place]} field `{field}` is not one that cron takes ({_TAKES[place]})"
        if field[:1].upper() in ("H", "R"):
            return f"the {_FIELDS[place]} field `{field}` is a random time; write the time itself"
        alone = ["*"] * len(_FIELDS)
        alone[place] = field
        try:
            croniter.expand(" ".join(alone))
        except (CroniterError, ValueError, TypeError):
            return problem
    day, weekday = fields[2].upper(), fields[4].upper()
    if ("W" in day or "#" in weekday or "L" in weekday) and not {day, weekday} & {"*", "?"}:
        return f"the day field `{day}` and the weekday field `{weekday}` do not go together; write two expressions"
    try:
        possible = croniter.is_valid(expression, strict=True)
    except (CroniterError, ValueError, TypeError):
        return f"`{expression}` cannot be read"
    return None if possible else f"`{expression}` never fires: no month that it names has such a day"


@lru_cache(maxsize=1024)
def read_cron(expression: str) -> CronTimes:
    """A cron expression as sets of numbers.

    Raises:
        BadDeclaration: it cannot be read.
    """
    from croniter import croniter

    problem = check_cron(expression)
    if problem is not None:
        raise BadDeclaration(problem, fix='write five fields, such as "0 6 * * 1-5" for 06:00 on working days')
    lists, numbered = croniter.expand(expression)
    minutes, hours, days, months, weekdays = ([item for item in field if item != "*"] for field in lists)
    fields = expression.split()
    alias = len(fields) == 1
    nearest = not alias and "W" in fields[2].upper()
    return CronTimes(
        minutes=tuple(sorted(int(minute) for minute in minutes)) or tuple(range(60)),
        hours=tuple(sorted(int(hour) for hour in hours)) or tuple(range(24)),
        real_hours=not hours or (not alias and fields[1].startswith("*")),
        days=frozenset(int(day) for day in days if day != "l") if days else None,
        months=frozenset(int(month) for month in months) if months else None,
        weekdays=frozenset(int(day) for day in weekdays) if weekdays else None,
        nth=frozenset(
            (int(day), 0 if str(count) == "l" else int(count)) for day, counts in numbered.items() for count in counts
        ),
        month_end="l" in days,
        nearest=" ".join(["0", "0", *fields[2:]]) if nearest else None,
    )


def _nearest_dates(expression: str, first: date, last: date) -> Iterator[date]:
    from croniter import CroniterBadDateError, croniter

    start = datetime(first.year, first.month, first.day) - _MINUTE  # noqa: DTZ001 - a wall has no zone
    walk = croniter(expression, start, ret_type=datetime)
    while True:
        try:
            day = walk.get_next(datetime).date()
        except CroniterBadDateError:
            return
        if day > last:
            return
        yield day


def _daily_ticks(times: CronTimes, tz: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each wall once. The instant of a wall never goes down as walls go up, so the first one past the end ends it."""
    previous = after
    for wall in times.walls(_minute_of(wall_at(tz, after)), wall_at(tz, until) + _DAY):
        tick = first_instant(tz, wall)
        if tick > until:
            return
        if tick > previous and (wall_at(tz, tick) == wall or wall.date() in gap_days(tz, tick)):
            yield tick
            previous = tick


def _real_ticks(times: CronTimes, tz: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each matching instant: the walls of every piece of constant offset, from its first instant to before its end."""
    low, end = seconds_of(after), seconds_of(until)
    start = instant_of(low) + timedelta(seconds=offset_at(tz, low))
    wall = _minute_of(start.replace(tzinfo=None))
    for change, old, new in [*_changes(tz, after, until), (end + 1, offset_at(tz, end), 0)]:
        shift = timedelta(seconds=old)
        last = (instant_of(change - 1) + shift).replace(tzinfo=None)
        for found in times.walls(wall, last):
            yield found.replace(tzinfo=UTC) - shift
        opened = (instant_of(change) + timedelta(seconds=new)).replace(tzinfo=None)
        wall = _minute_of(opened - timedelta(microseconds=1))


def _changes(tz: str, after: datetime, until: datetime) -> list[tuple[int, int, int]]:
    low, end = seconds_of(after), seconds_of(until)
    years = range(after.year, min(until.year, LAST_YEAR) + 1)
    return [change for year in years for change in changes_in(tz, year) if low < change[0] <= end]


def _minute_of(wall: datetime) -> datetime:
    return wall.replace(second=0, microsecond=0)
