"""Times as users write them and as keys show them: `2026`, `2026-01`, `2026-W02`, `2026-01-05`, `2026-01-05T06`.

A text names a span of time in a zone, as long as its last unit. Keys have no colons, so they can be names of folders;
`T06:30` is read as well as `T0630`. An offset (`T01-0400`) tells apart the two hours that clocks show twice.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from assetflow.errors import UsageError
from assetflow.partitions.zones import first_instant, instant_of, seconds_of, zone

_TEXT = re.compile(
    r"(?P<year>[0-9]{4})(?:-W(?P<week>[0-9]{2})|-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})(?:[T ](?P<hour>[0-9]{2})"
    r"(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2}))?)?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?)?)?)?"
)
_LOOSE = re.compile(r"(?P<year>[0-9]{4})[-/. ]?(?P<month>[0-9]{1,2})(?:[-/. ]?(?P<day>[0-9]{1,2}))?")
_UNITS = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1)}


def named_time(text: str, tz: str) -> tuple[int, int]:
    """The span of time that a text names in a zone: its first second since 1970, and the one after its last.

    Raises:
        UsageError: it is not a time, there is no such date, or the zone's clocks leave it out.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise UsageError(f"`{text}` is not a time", fix=_meant(text))
    parts = found.groupdict()
    try:
        low, high = _walls(parts)
        if parts["offset"]:
            shift = _offset_of(parts["offset"])
            return low - shift, high - shift
        span = _instant(low, tz), _instant(high, tz)
    except (ValueError, OverflowError):
        raise UsageError(f"there is no date `{text}`", fix="write one of the calendar, such as 2026-01-31") from None
    if span[0] == span[1]:
        after = instant_of(span[1]).astimezone(zone(tz))
        raise UsageError(
            f"`{text}` does not exist in {tz}", fix=f"clocks go forward over it; write {after:%Y-%m-%dT%H%M} instead"
        )
    return span


def key_of(tz: str, seconds: int, *, minutes: bool) -> str:
    """An instant as the key of what begins there: `2026-01-05T06`, with the offset where clocks show it twice.

    Args:
        tz: the zone of the clocks.
        seconds: the instant, since 1970.
        minutes: write `T0600`; else minutes stand only where they are not zero.
    """
    local = instant_of(seconds).astimezone(zone(tz))
    text = f"{local.year:04}-{local.month:02}-{local.day:02}T{local.hour:02}"
    if minutes or local.minute or local.second:
        text += f"{local.minute:02}"
    if local.second:
        text += f"{local.second:02}"
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None
    assert second is not None
    return text + f"{local:%z}" if first > second else text


def _walls(parts: dict[str, str | None]) -> tuple[int, int]:
    """First and one past the last second that clocks show, as if they were in UTC."""
    year = int(parts["year"] or "")
    if not 1 < year < 9999:
        raise ValueError(year)  # a window of it, or its neighbour, would leave the calendar
    if parts["week"]:
        monday = datetime.fromisocalendar(year, int(parts["week"]), 1)
        return _count(monday), _count(monday + timedelta(days=7))
    month, day = parts["month"], parts["day"]
    if day is None:
        first = datetime(year, int(month or 1), 1)  # noqa: DTZ001 - a wall has no zone
        months = first.year * 12 + first.month - 1 + (1 if month else 12)
        return _count(first), _count(datetime(months // 12, months % 12 + 1, 1))  # noqa: DTZ001
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    wall = datetime(year, int(month or ""), int(day), hour, minute, second)  # noqa: DTZ001
    unit = next((_UNITS[name] for name in ("second", "minute", "hour") if parts[name]), timedelta(days=1))
    return _count(wall), _count(wall + unit)


def _count(wall: datetime) -> int:
    return (wall - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001


def _instant(wall: int, tz: str) -> int:
    return seconds_of(first_instant(tz, instant_of(wall).replace(tzinfo=None)))


def _offset_of(text: str) -> int:
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "").ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return -seconds if text[0] == "-" else seconds


def _meant(text: str) -> str:
    """What to write instead: the same date in our form, when it looks like one."""
    loose = _LOOSE.match(text)
    if loose is not None:
        year, month, day = loose.group("year", "month", "day")
        guess = f"{year}-{int(month):02}" + (f"-{int(day):02}" if day else "")
        if _TEXT.fullmatch(guess) and guess != text:
            return f"did you mean `{guess}`?"
    return "write a year, month, day or hour: 2026, 2026-01, 2026-01-31, 2026-01-31T06"
