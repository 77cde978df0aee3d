"""Hourly partitions: counted by dividing, with a short table where a zone moves its clocks by part of an hour."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

from assetflow.partitions.moments import key_of
from assetflow.partitions.windows import CalendarDefinition, TimeDefinition, midnight
from assetflow.partitions.zones import changes_in, instant_of, offset_at, seconds_of

_HOUR_S = 3600
_EPOCH_YEAR = 1970
_MARGIN_S = 40 * 86_400
Piece = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Hourly(CalendarDefinition):
    """A partition for each real hour, beginning where the zone's clocks show a full one: `2026-01-31T06`.

    The long day has 25 of them and the short one 23. Hours whose time comes twice carry the offset:
    `2026-11-01T01-0400` and `2026-11-01T01-0500`. Where clocks move by part of an hour (Lord Howe Island, by thirty
    minutes), the hour is cut at the change, so that the hours of a day are that day. Ordinal 0 is the hour that has
    1970-01-01T00 UTC.
    """

    kind = "hourly"

    def start_of(self, ordinal: int) -> int:
        """The first second of a partition."""
        return _start_of(self.tz, ordinal)

    def ordinal_at(self, seconds: int) -> int:
        """The partition whose window has this second."""
        return _ordinal_at(self.tz, seconds)

    def key(self, ordinal: int) -> str:
        """The hour at which it begins."""
        return key_of(self.tz, self.start_of(ordinal), minutes=False)

    def ordinal(self, key: str) -> int:
        """The partition that has this key. The keys of one day are made together."""
        try:
            found = _keys_of_day(self.tz, date.fromisoformat(key[:10]).toordinal()).get(key)
        except (ValueError, OverflowError):  # no date, or one at the end of the calendar
            found = None
        return TimeDefinition.ordinal(self, key) if found is None else found


def _start_of(tz: str, ordinal: int) -> int:
    pieces = _pieces_near(tz, ordinal * _HOUR_S)
    opened, phase, base = pieces[max(bisect_right(pieces, ordinal, key=lambda piece: piece[2]) - 1, 0)]
    return max(opened, ((opened + phase) // _HOUR_S + ordinal - base) * _HOUR_S - phase)


def _ordinal_at(tz: str, seconds: int) -> int:
    pieces = _pieces_near(tz, seconds)
    opened, phase, base = pieces[bisect_right(pieces, seconds, key=lambda piece: piece[0]) - 1]
    return base + (seconds + phase) // _HOUR_S - (opened + phase) // _HOUR_S


@lru_cache(maxsize=1024)
def _keys_of_day(tz: str, day: int) -> dict[str, int]:
    hours = range(_ordinal_at(tz, midnight(tz, day)), _ordinal_at(tz, midnight(tz, day + 1)))
    return {key_of(tz, _start_of(tz, hour), minutes=False): hour for hour in hours}


def _pieces_near(tz: str, seconds: int) -> tuple[Piece, ...]:
    """The pieces of whole decades that reach from 1970 to beyond an instant that is known to within weeks."""
    low, high = instant_of(seconds - _MARGIN_S).year, instant_of(seconds + _MARGIN_S).year
    return _pieces(tz, min(low // 10 * 10, _EPOCH_YEAR), max(high // 10 * 10 + 9, _EPOCH_YEAR + 9))


@lru_cache(maxsize=1024)
def _pieces(tz: str, first_year: int, last_year: int) -> tuple[Piece, ...]:
    """Where the minutes of full hours change: the second, the offset's part of an hour, the ordinal that begins there.

    Changes by whole hours are none: the same count goes on.
    """
    changes = [change for year in range(first_year, last_year + 1) for change in changes_in(tz, year)]
    low = seconds_of(datetime(first_year, 1, 1, tzinfo=UTC))
    pieces: list[Piece] = [(low, offset_at(tz, low) % _HOUR_S, 0)]
    for second, _, offset in changes:
        opened, phase, base = pieces[-1]
        if offset % _HOUR_S != phase:
            after = base + (second - 1 + phase) // _HOUR_S - (opened + phase) // _HOUR_S + 1
            pieces.append((second, offset % _HOUR_S, after))
    opened, phase, base = pieces[bisect_right(pieces, 0, key=lambda piece: piece[0]) - 1]
    epoch = base + phase // _HOUR_S - (opened + phase) // _HOUR_S
    return tuple((second, part, number - epoch) for second, part, number in pieces)
