"""Partitions between the ticks of a cron expression, counted by years so that no tick is walked twice."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import KW_ONLY, dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate

from assetflow.errors import UsageError
from assetflow.partitions.cron import read_cron, ticks
from assetflow.partitions.moments import key_of
from assetflow.partitions.windows import TimeDefinition, day_at, midnight
from assetflow.partitions.zones import LAST_YEAR, changes_in, instant_of, offset_at, seconds_of, wall_at

_FIRST_YEAR = 2000
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cron(TimeDefinition):
    """A partition from each tick of a cron expression to the next: `2026-01-05T0600`. The rule of ticks is `cron`'s.

    Ordinal 0 begins with the first tick of the year 2000 in the zone.

    Example:
        >>> mornings = Cron("0 6 * * 1-5", start="2026-01-01", tz="Europe/London")
        >>> [mornings.key(mornings.ordinal("2026-01-02T0600") + step) for step in range(2)]
        ['2026-01-02T0600', '2026-01-05T0600']
    """

    kind = "cron"

    expression: str
    _: KW_ONLY
    start: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        read_cron(self.expression)
        self._settle(self.start)

    def meaning(self) -> str:
        """What the keys mean beside their text: between which times they lie."""
        return f"{self.kind} {self.expression} {self.tz}"

    def start_of(self, ordinal: int) -> int:
        """The instant of the tick that begins a partition."""
        counts = _counts(self.expression, self.tz)
        year = _FIRST_YEAR
        while counts.before(year) > ordinal:
            year -= 1
        while counts.before(year + 1) <= ordinal:
            year += 1
        within = ordinal - counts.before(year)
        days = counts.of_year(year)
        place = bisect_right(days, within) - 1
        return counts.tick(date(year, 1, 1).toordinal() + place, within - days[place])

    def ordinal_at(self, seconds: int) -> int:
        """The partition whose window has this second: that of the last tick no later than it."""
        counts = _counts(self.expression, self.tz)
        day = day_at(self.tz, seconds)
        year = date.fromordinal(day).year
        place = day - date(year, 1, 1).toordinal()
        return counts.before(year) + counts.of_year(year)[place] + counts.until(day, seconds) - 1

    def key(self, ordinal: int) -> str:
        """The local time of the tick."""
        return key_of(self.tz, self.start_of(ordinal), minutes=True)

    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values."""
        return self._json(expression=self.expression, start=self.start)


class _Counts:
    """How many ticks the years, and the days of each year, have. Days near a change of clocks are counted one by one.

    A day is the time between its midnights. Filled as it is asked for: about a millisecond for each year.
    """

    def __init__(self, expression: str, tz: str) -> None:
        self.expression, self.tz, self.times = expression, tz, read_cron(expression)
        self.years: dict[int, tuple[int, ...]] = {}
        self.lists: dict[int, tuple[int, ...]] = {}
        self.sums: dict[int, int] = {_FIRST_YEAR: 0}

    def before(self, year: int) -> int:
        """Ticks from the beginning of 2000 to that of a year; negative before 2000."""
        step = 1 if year >= _FIRST_YEAR else -1
        known = year
        while known not in self.sums:
            known -= step
        while known != year:
            counted = self.of_year(known if step == 1 else known - 1)[-1]
            self.sums[known + step] = self.sums[known] + step * counted
            known += step
        return self.sums[year]

    def of_year(self, year: int) -> tuple[int, ...]:
        """Ticks before each day of the year, and at the end those of the whole year."""
        if not 1 < year <= LAST_YEAR:
            raise UsageError(
                f"`{self.expression}` has no further tick", fix="choose an earlier partition, or another expression"
            )
        if year not in self.years:
            first, end = date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()
            full = len(self.times.hours) * len(self.times.minutes)
            counts = [0] * (end - first)
            for day in self.times.dates(date.fromordinal(first), date.fromordinal(end - 1)):
                counts[day.toordinal() - first] = full
            for day in self.odd_days(year):
                if first <= day < end:
                    counts[day - first] = len(self.list_of(day))
            self.years[year] = (0, *accumulate(counts))
        return self.years[year]

    def odd_days(self, year: int) -> set[int]:
        """Days whose ticks are not simply the times of the expression: a change of clocks lies in them or ends them."""
        changes = [change for near in (year - 1, year, year + 1) for change in changes_in(self.tz, near)]
        return {
            day
            for second, _, _ in changes
            for day in range(wall_at(self.tz, instant_of(second - 1)).toordinal(), day_at(self.tz, second) + 1)
        }

    def list_of(self, day: int) -> tuple[int, ...]:
        """The ticks of one day, as seconds since 1970."""
        if day not in self.lists:
            low, high = (instant_of(midnight(self.tz, edge)) - _SECOND for edge in (day, day + 1))
            self.lists[day] = tuple(seconds_of(tick) for tick in ticks(self.expression, self.tz, low, high))
        return self.lists[day]

    def is_odd(self, day: int) -> bool:
        """Whether a day's ticks have to be listed. Its year has been counted."""
        return day in self.lists

    def tick(self, day: int, number: int) -> int:
        """The instant of one tick of a day, which are numbered from 0."""
        if self.is_odd(day):
            return self.lists[day][number]
        hour, minute = divmod(number, len(self.times.minutes))
        return midnight(self.tz, day) + self.times.hours[hour] * 3600 + self.times.minutes[minute] * 60

    def until(self, day: int, seconds: int) -> int:
        """How many ticks of a day are no later than an instant in it."""
        if self.is_odd(day):
            return bisect_right(self.lists[day], seconds)
        if not self.times.fires_on(date.fromordinal(day)):
            return 0
        hour, rest = divmod((seconds + offset_at(self.tz, seconds)) % 86_400, 3600)
        full = bisect_right(self.times.hours, hour - 1)
        counted = full * len(self.times.minutes)
        return counted + (bisect_right(self.times.minutes, rest // 60) if hour in self.times.hours else 0)


@lru_cache(maxsize=256)
def _counts(expression: str, tz: str) -> _Counts:
    return _Counts(expression, tz)
