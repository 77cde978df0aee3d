"""Partitions that are windows of time: one begins where the last one ends, in a zone, over every change of clocks."""

from __future__ import annotations

from abc import abstractmethod
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain

from msgspec import Struct

from assetflow.errors import BadDeclaration, UsageError
from assetflow.partitions.definition import TO, Definition
from assetflow.partitions.moments import named_time
from assetflow.partitions.ordinals import EMPTY, Ordinals, Span
from assetflow.partitions.zones import DAY_S, first_instant, instant_of, offset_at, seconds_of, wall_at, zone

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAYS = [f"{day:02}" for day in range(32)]


class Window(Struct, frozen=True):
    """A time from `start` to before `end`, as aware UTC datetimes."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class TimeDefinition(Definition):
    """What all time windows share. Ordinals do not depend on `start`: two definitions of one grain and zone agree.

    Attributes:
        end: a time that the last partition lies in or ends with, or None for no end. Included, as in `a..b`.
        tz: whose midnights and hours count.
        end_offset: how many partitions more (or fewer, when negative) exist than have ended. With 1 the partition
            that is running now exists as well.
        exclude: keys, longer times and ranges that are no partitions.
    """

    _: KW_ONLY
    end: str | None = None
    tz: str = "UTC"
    end_offset: int = 0
    exclude: str | Sequence[str] = ()
    _low: int = field(init=False, repr=False, compare=False, default=0)
    _high: int | None = field(init=False, repr=False, compare=False, default=None)
    _holes: Ordinals = field(init=False, repr=False, compare=False, default=EMPTY)

    @abstractmethod
    def start_of(self, ordinal: int) -> int:
        """The first second, since 1970, of a partition. Constant cost."""

    @abstractmethod
    def ordinal_at(self, seconds: int) -> int:
        """The partition whose window has this second, since 1970. Constant cost."""

    def meaning(self) -> str:
        """What the keys mean beside their text: whose days they are."""
        return f"{self.kind} {self.tz}"

    def window(self, ordinal: int) -> Window:
        """The time that a partition covers."""
        return Window(instant_of(self.start_of(ordinal)), instant_of(self.start_of(ordinal + 1)))

    def partition_at(self, instant: datetime) -> int:
        """The partition whose window has an instant, whether or not it exists yet."""
        return self.ordinal_at(seconds_of(instant))

    def ordinal(self, key: str) -> int:
        """The partition that has this key."""
        found = self.ordinal_at(named_time(key, self.tz)[0])
        if self.key(found) != key:
            raise UsageError(f"`{key}` is no key of {self}", fix=f"did you mean `{self.key(found)}`?")
        return found

    def keys_until(self, now: datetime) -> Ordinals:
        """The partitions that have ended at an instant, `end_offset` more or fewer."""
        high = self.partition_at(now) + self.end_offset
        return Ordinals.run(self._low, high if self._high is None else min(high, self._high)) - self._holes

    def clip(self, ordinals: Ordinals) -> Ordinals:
        """Those that are not before the start, after the end or excluded."""
        if not ordinals:
            return ordinals
        high = ordinals.last + 1 if self._high is None else self._high
        return (ordinals & Ordinals.run(self._low, high)) - self._holes

    def named(self, text: str) -> Span:
        """The partitions whose windows meet the time that a text names."""
        low, high = named_time(text, self.tz)
        return self.ordinal_at(low), self.ordinal_at(high - 1) + 1

    def __str__(self) -> str:
        shown = {name: value for name, value in self.to_json().items() if name not in ("kind", "exclude")}
        excluded = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"{self.kind} partitions ({', '.join(f'{name} {value}' for name, value in shown.items())}{excluded})"

    def _settle(self, start: str) -> None:
        """Check what was given and bring it into one form, so that equal definitions compare equal."""
        zone(self.tz)
        try:
            first = named_time(start, self.tz)[0]
            last = named_time(self.end, self.tz)[1] if self.end is not None else None
        except UsageError as error:
            raise BadDeclaration(error.what, fix=error.fix) from error
        low = self.ordinal_at(first)
        low += self.start_of(low) < first
        high = None if last is None else self.ordinal_at(last)
        if high is not None and high <= low:
            raise BadDeclaration(
                f"no {self.kind} partition lies between {start} and {self.end}", fix="move the start or the end"
            )
        object.__setattr__(self, "_low", low)
        object.__setattr__(self, "_high", high)
        object.__setattr__(self, "start", self.key(low))
        object.__setattr__(self, "end", None if high is None else self.key(high - 1))
        excluded = self._excluded()
        object.__setattr__(self, "exclude", tuple(self.run_text(*span) for span in excluded.spans))
        object.__setattr__(self, "_holes", excluded | self._left_out())

    def _excluded(self) -> Ordinals:
        given = self.exclude.split(",") if isinstance(self.exclude, str) else self.exclude
        spans: list[Span] = []
        for item in (text.strip() for text in given):
            try:
                first, middle, last = (part.strip() for part in item.partition(TO))
                low = self.named(first)[0] if first else self._low
                high = self.named(last)[1] if last else self._high
            except UsageError as error:
                raise BadDeclaration(f"exclude: {error.what}", fix=error.fix) from error
            if not middle:
                high = self.named(first)[1]
            if high is None:
                raise BadDeclaration(f"exclude: `{item}` has no end", fix="write the end, or give the definition one")
            spans.append((low, high))
        return Ordinals.joined(spans)

    def _left_out(self) -> Ordinals:
        """Ordinals whose window is empty, because the zone left that day out."""
        return EMPTY

    def _json(self, **first: str) -> dict[str, object]:
        told: dict[str, object] = {"kind": self.kind, **first}
        if self.end is not None:
            told["end"] = self.end
        if self.tz != "UTC":
            told["tz"] = self.tz
        if self.end_offset:
            told["end_offset"] = self.end_offset
        if self.exclude:
            told["exclude"] = list(self.exclude)
        return told


@dataclass(frozen=True, slots=True)
class CalendarDefinition(TimeDefinition):
    """Windows of the calendar, from a start on: the first one begins at the start or after it."""

    start: str

    def __post_init__(self) -> None:
        self._settle(self.start)

    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values."""
        return self._json(start=self.start)


@dataclass(frozen=True, slots=True)
class DateDefinition(CalendarDefinition):
    """Windows that begin at the first instant of a date: midnight, or what comes after it where it is left out."""

    @abstractmethod
    def first_date(self, ordinal: int) -> date:
        """The date on which a partition begins."""

    @abstractmethod
    def at_date(self, day: date) -> int:
        """The partition that has a date."""

    def start_of(self, ordinal: int) -> int:
        """The first second of a partition."""
        return midnight(self.tz, self.first_date(ordinal).toordinal())

    def ordinal_at(self, seconds: int) -> int:
        """The partition whose window has this second."""
        return self.at_date(date.fromordinal(day_at(self.tz, seconds)))


def day_at(tz: str, seconds: int) -> int:
    """The date, as `date.toordinal` counts, between whose midnights an instant lies.

    It is the one that clocks show, or a later one where they went back over its midnight.
    """
    found = wall_at(tz, instant_of(seconds)).toordinal()
    while midnight(tz, found + 1) <= seconds:
        found += 1
    return found


@lru_cache(maxsize=65_536)
def midnight(tz: str, day: int) -> int:
    """The first second of a date, which is counted as `date.toordinal` does: of two midnights the first."""
    wall = datetime.combine(date.fromordinal(day), datetime.min.time())
    return seconds_of(first_instant(tz, wall))


@lru_cache(maxsize=1024)
def skipped_dates(tz: str) -> tuple[int, ...]:
    """Dates that the zone's clocks never showed, as `date.toordinal` counts: Apia moved over the date line in 2011.

    A zone that leaves out a date goes forward by about a day and stays there, so one look at each New Year finds it.
    """
    found: list[int] = []
    for year in range(1840, 2100):
        low, high = (seconds_of(datetime(number, 1, 1, tzinfo=UTC)) for number in (year, year + 1))
        if offset_at(tz, high) - offset_at(tz, low) < DAY_S // 2:
            continue
        first = date(year, 1, 1).toordinal()
        found += [day for day in range(first, first + 366) if midnight(tz, day) == midnight(tz, day + 1)]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Daily(DateDefinition):
    """A partition for each day, from midnight to midnight: `2026-01-31`. Ordinal 0 is 1970-01-01.

    Of two midnights the first counts; where midnight is left out, the first instant after it. A day that the zone left
    out is no partition, though it has an ordinal.

    Example:
        >>> days = Daily("2026-03-28", tz="Europe/London")
        >>> [(days.window(day).end - days.window(day).start).total_seconds() / 3600 for day in (20540, 20541)]
        [24.0, 23.0]
    """

    kind = "daily"

    def first_date(self, ordinal: int) -> date:
        """The date of a partition."""
        return date.fromordinal(ordinal + _EPOCH_DAY)

    def at_date(self, day: date) -> int:
        """The partition that has a date."""
        return day.toordinal() - _EPOCH_DAY

    def key(self, ordinal: int) -> str:
        """The date."""
        return self.first_date(ordinal).isoformat()

    def keys(self, ordinals: Ordinals) -> Iterator[str]:
        """The dates of a set, in order. A hundred thousand are asked for at once, so a month is written only once."""
        return chain.from_iterable(self._dates(low, high) for low, high in ordinals.spans)

    def _dates(self, start: int, high: int) -> Iterable[str]:
        if high - start < len(_DAYS):
            return map(self.key, range(start, high))
        found: list[str] = []
        low = start
        while low < high:
            first = self.first_date(low)
            days = min(high - low, monthrange(first.year, first.month)[1] - first.day + 1)
            month = first.isoformat()[:-2]
            found += [month + day for day in _DAYS[first.day : first.day + days]]
            low += days
        return found

    def ordinal(self, key: str) -> int:
        """The partition of a date. A hundred thousand keys of a catalog come this way, so it is short."""
        try:
            day = date.fromisoformat(key)
        except ValueError:
            return TimeDefinition.ordinal(self, key)
        found = day.toordinal() - _EPOCH_DAY
        plain = 1 < day.year < 9999 and found not in self._holes and key == day.isoformat()
        return found if plain else TimeDefinition.ordinal(self, key)

    def _left_out(self) -> Ordinals:
        return Ordinals.of(*(day - _EPOCH_DAY for day in skipped_dates(self.tz)))


@dataclass(frozen=True, slots=True)
class Weekly(DateDefinition):
    """A partition for each week, Monday to Sunday: `2026-W05`. Ordinal 0 is the week of 1970-01-01."""

    kind = "weekly"

    def first_date(self, ordinal: int) -> date:
        """The Monday of a partition."""
        return date.fromordinal(ordinal * 7 + _EPOCH_DAY - 3)

    def at_date(self, day: date) -> int:
        """The partition that has a date."""
        return (day.toordinal() - _EPOCH_DAY + 3) // 7

    def key(self, ordinal: int) -> str:
        """The ISO week."""
        year, week, _ = self.first_date(ordinal).isocalendar()
        return f"{year:04}-W{week:02}"


@dataclass(frozen=True, slots=True)
class Monthly(DateDefinition):
    """A partition for each month: `2026-01`. Ordinal 0 is January 1970."""

    kind = "monthly"

    def first_date(self, ordinal: int) -> date:
        """The first day of a partition."""
        return date(1970 + ordinal // 12, ordinal % 12 + 1, 1)

    def at_date(self, day: date) -> int:
        """The partition that has a date."""
        return (day.year - 1970) * 12 + day.month - 1

    def key(self, ordinal: int) -> str:
        """The year and the month."""
        return f"{self.first_date(ordinal):%Y-%m}".rjust(7, "0")
