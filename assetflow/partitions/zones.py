"""Time zones as pieces of constant offset: where they change, and which instant a wall clock time means.

Walls are naive datetimes in a zone; instants are aware datetimes in UTC, or whole seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from assetflow.errors import BadDeclaration, did_you_mean

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_S = 86_400
LAST_YEAR = 9998
_SECOND = timedelta(seconds=1)


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone of that name in the zone database of this machine.

    Raises:
        BadDeclaration: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path that leaves the database; a folder of it
        pass
    near = did_you_mean(name, available_timezones())
    raise BadDeclaration(
        f"there is no time zone `{name}`",
        facts=[near] if near else (),
        fix='write a name of the IANA database, such as "Europe/London" or "UTC"',
    )


def seconds_of(instant: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime; parts of a second are dropped downward."""
    return (instant - EPOCH) // _SECOND


def instant_of(seconds: int) -> datetime:
    """The UTC instant that many seconds after 1970."""
    return EPOCH + timedelta(seconds=seconds)


def offset_at(name: str, seconds: int) -> int:
    """Seconds that the zone's clocks are ahead of UTC at an instant."""
    offset = instant_of(seconds).astimezone(zone(name)).utcoffset()
    assert offset is not None
    return offset // _SECOND


def wall_at(name: str, instant: datetime) -> datetime:
    """What clocks of the zone show at an instant."""
    return instant.astimezone(zone(name)).replace(tzinfo=None, fold=0)


def change_between(name: str, low: int, high: int) -> int:
    """The first second after `low` whose offset differs, for two instants that have a change between them."""
    before = offset_at(name, low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(name, middle) == before:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4096)
def changes_in(name: str, year: int) -> tuple[tuple[int, int, int], ...]:
    """Every change of offset in a UTC year: the first second of the new offset, the old one and the new one.

    Found by asking every third day, so two changes that undo one another within three days would be missed. The nearest
    two of the database are four days apart (Freetown, 1939).
    """
    if zone(name).utcoffset(None) is not None:  # a zone that never changes knows its offset without a time
        return ()
    found: list[tuple[int, int, int]] = []
    low = seconds_of(datetime(year, 1, 1, tzinfo=UTC)) - 1
    end = seconds_of(datetime(year + 1, 1, 1, tzinfo=UTC)) - 1
    before = offset_at(name, low)
    while low < end:
        high = min(low + 3 * DAY_S, end)
        after = offset_at(name, high)
        if after != before:
            found.append((change_between(name, low, high), before, after))
        low, before = high, after
    return tuple(found)


def first_instant(name: str, wall: datetime) -> datetime:
    """The instant at which clocks show `wall`: the first of two, or the first after the gap that swallowed it."""
    place = zone(name)
    instant = wall.replace(tzinfo=place, fold=0).astimezone(UTC)
    if instant.astimezone(place).replace(tzinfo=None, fold=0) == wall:
        return instant
    early = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
    low, high = sorted((seconds_of(early), seconds_of(instant)))
    return instant_of(change_between(name, low, high))


def gap_days(name: str, instant: datetime) -> tuple[date, date]:
    """The local dates of the last second before an instant and of the instant."""
    return wall_at(name, instant - _SECOND).date(), wall_at(name, instant).date()
