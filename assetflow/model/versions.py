"""Names of versions: what may stand behind the `@` of `orders@3`, and what `as_of=` takes."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo
from math import inf, nextafter

from msgspec import Struct

from assetflow.errors import NoSuchVersion, UsageError

_NUMBER = re.compile(r"v?([0-9]{1,18})\Z", re.ASCII)
_BACK = re.compile(r"HEAD(?:~([0-9]{1,9}))?\Z", re.ASCII)
_RUN = re.compile(r"run:([0-9]{1,18})\Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?\Z", re.ASCII)
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,62}\Z", re.ASCII)

FORMS = "a number (3), HEAD~1, a day (2026-11-20), a time (2026-11-20T10:00), run:41, rejected, or an environment"
"""All that a version can be called."""


class VersionName(Struct, frozen=True):
    """A name of a version, read but not looked up.

    kind: `number` (of the version), `back` (so many versions ago), `time` (what was current at `moment`, UTC seconds),
    `run` (what was current after the run of this number), `rejected` (the last one that a check refused), `env` (what
    is current in the environment `text`).
    """

    kind: str
    text: str
    number: int = 0
    moment: float = 0.0


def parse_version(text: str, zone: tzinfo | None = None, *, of: str = "") -> VersionName:
    """What a version is called. Times without an offset are in `zone`, or in the machine's own without one.

    A day alone means its end: what was current when it was over.

    Example:
        >>> parse_version("v3").number, parse_version("HEAD~2").number, parse_version("run:41").kind
        (3, 2, 'run')

    Raises:
        NoSuchVersion: the text is none of the names of a version.
    """
    if match := _NUMBER.match(text):
        return VersionName("number", text, int(match[1]))
    if match := _BACK.match(text):
        return VersionName("back", text, int(match[1] or 0))
    if match := _RUN.match(text):
        return VersionName("run", text, int(match[1]))
    if _DAY.match(text) or _TIME.match(text):
        try:
            return _moment(date.fromisoformat(text) if _DAY.match(text) else datetime.fromisoformat(text), text, zone)
        except (ValueError, OverflowError, OSError) as error:
            raise NoSuchVersion(f"`{text}` is not a time: {error}", fix="write 2026-11-20T10:00") from error
    if text == "rejected":
        return VersionName("rejected", text)
    if _ENV.match(text):
        return VersionName("env", text)
    whole = f"{of}@{text}" if of else text
    raise NoSuchVersion(f"`{whole}` does not name a version", fix=f"write {FORMS}")


def time_name(when: datetime | date | str, zone: tzinfo | None = None) -> VersionName:
    """The name for `as_of=`: a datetime (without an offset, in `zone`), a date for the end of that day, or a text.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(when, str):
        if _DAY.match(when) or _TIME.match(when):
            return parse_version(when, zone)
    elif isinstance(when, date):  # pyright: ignore[reportUnnecessaryIsInstance] - users may give anything
        try:
            return _moment(when, when.isoformat(), zone)
        except (ValueError, OverflowError, OSError) as error:
            raise UsageError(f"{when!r} is out of the range of clocks: {error}") from error
    raise UsageError(f"as_of takes a time, not {when!r}", fix='as_of="2026-11-20T10:00", or a datetime')


def zone_named(name: str) -> tzinfo | None:
    """The zone of times that have no offset, by the setting `tz`; None is the machine's own (`local`)."""
    if name == "local":
        return None
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _moment(when: date, text: str, zone: tzinfo | None) -> VersionName:
    if isinstance(when, datetime):
        return VersionName("time", text, moment=_seconds(when, zone))
    # The last instant that is still of that day: midnight itself belongs to the next.
    midnight = datetime.combine(when + timedelta(days=1), time())
    return VersionName("time", text, moment=nextafter(_seconds(midnight, zone), -inf))


def _seconds(when: datetime, zone: tzinfo | None) -> float:
    if when.tzinfo is None and zone is not None:
        when = when.replace(tzinfo=zone)
    return when.timestamp()  # without any zone, that of the machine
