"""When jobs are due by the definition alone: every minute is asked what the clock on the wall shows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True)
class Kind:
    """A job: what its file says, and when it is due: daily at a time, or whenever `fires` says so of a minute."""

    name: str
    cron: str
    tz: str
    catchup: str
    daily: tuple[int, int] | None = None
    fires: Callable[[datetime], bool] = lambda _: False

    def ticks(self, start: int, end: int) -> list[int]:
        """The instants after `start` and up to `end`."""
        zone = ZoneInfo(self.tz)
        if self.daily is None:
            minutes = range((start // MINUTE + 1) * MINUTE, end + 1, MINUTE)
            return [at for at in minutes if self.fires(datetime.fromtimestamp(at, UTC).astimezone(zone))]
        first = datetime.fromtimestamp(start, UTC).date() - timedelta(days=1)
        days = [first + timedelta(days=number) for number in range((end - start) // DAY + 4)]
        return [at for day in days if start < (at := self._on(day, self.daily, zone)) <= end]

    def _on(self, day: date, daily: tuple[int, int], zone: ZoneInfo) -> int:
        """The first minute of a date at which its clock shows the time, or a later one where it never does."""
        near = int(datetime(day.year, day.month, day.day, *daily, tzinfo=zone).timestamp())
        for at in range(near - 3 * HOUR, near + 3 * HOUR, MINUTE):
            wall = datetime.fromtimestamp(at, UTC).astimezone(zone)
            if wall.date() == day and (wall.hour, wall.minute) >= daily:
                return at
        raise AssertionError(day)


def between(ticks: Sequence[int], after: int, until: int) -> Sequence[int]:
    """Those of sorted ticks that are later than one instant and no later than another."""
    return ticks[bisect_right(ticks, after) : bisect_right(ticks, until)]


KINDS = (
    Kind("nightly", "30 1 * * *", "Europe/London", "latest", daily=(1, 30)),
    Kind("morning", "15 2 * * *", "America/New_York", "all", daily=(2, 15)),
    Kind("hourly", "0 */3 * * *", "UTC", "latest", fires=lambda wall: wall.minute == 0 and wall.hour % 3 == 0),
    Kind("quarterly", "*/15 */12 * * *", "UTC", "none",
         fires=lambda wall: wall.minute % 15 == 0 and wall.hour % 12 == 0),
    Kind("weekly", "0 9 * * 1", "Asia/Kolkata", "all",
         fires=lambda wall: (wall.weekday(), wall.hour, wall.minute) == (0, 9, 0)),
)  # fmt: skip
