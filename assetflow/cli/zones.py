"""Moments as people read them, in the zone of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo


def zone_of(name: str) -> tzinfo:
    """The zone of this name.

    Raises:
        UsageError: there is none.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        from assetflow.errors import UsageError

        raise UsageError(
            f"`{name}` is not a time zone", fix="write a name such as Europe/London, or use --utc"
        ) from error


def moment_words(moment: float, now: float, zone: tzinfo | None) -> str:
    """`13:40 today`, `22 Nov 13:40`, or `22 Nov 2025` for another year."""
    from datetime import UTC, datetime

    then = datetime.fromtimestamp(moment, UTC).astimezone(zone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if then.date() == today.date():
        return f"{then:%H:%M} today"
    return f"{then.day} {then:%b %H:%M}" if then.year == today.year else f"{then.day} {then:%b %Y}"
