"""Names of time zones, as people write them."""

from __future__ import annotations


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name on the machine, such as `Europe/London` or `UTC`."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
